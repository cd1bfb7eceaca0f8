#!/usr/bin/env python3
"""A stand-in for llama-server: answers from the prompt alone, with what really is in it, and fails as it is told.

It finds the planted facts of ``recall`` in a prompt by their words, and knows the call of a ``tool-call``; a token is a
byte. With an odd number of bytes in the prompt and a quantized K its answer is wrong.

Environment: STAND_IN is a fault, see ``FAULTS``; STAND_IN_AT the item of the process, from 0, that has it;
STAND_IN_COUNT a file that gets a character for each answered item.
"""

import importlib
import json
import os
import re
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# Beside this file, where tests have a package of that name.
engine: Any = importlib.import_module("engine")

# Of the start, and of an answer.
FAULTS = {
    *("oom", "bad-port", "sigkill", "mute", "oom-mute", "loads"),
    *(
        "dies",
        "no-room",
        "error",
        "escapes",
        "nothing",
        "endless",
        "no-utf8",
        "no-json",
        "hangs",
        "closes",
        "surrogate",
        "talks",
    ),
}
ASKED = dict(zip(sys.argv[1:], [*sys.argv[2:], ""], strict=True))
FAULT = os.environ.get("STAND_IN", "")
STATE = {"items": 0}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = (
        True  # head and body are two writes: the second would wait 40 ms for the first's receipt
    )

    def log_message(self, *_arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        if FAULT == "loads":
            self.say({"error": {"message": "Loading model", "code": 503}}, 503)
        else:
            self.say({"status": "ok"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match self.path:
            case "/tokenize":
                self.say({"tokens": list(asked["content"].encode())})
            case "/apply-template":
                self.say({"prompt": f"<user>{asked['messages'][0]['content']}<model>"})
            case "/completion":
                self.complete(asked)
            case "/v1/chat/completions":
                self.chat(asked)

    def chat(self, asked: dict[str, Any]) -> None:
        """Of exercises STAND_IN_EXERCISES says by name what happens, as JSON; the others are not solved."""
        text = "\n".join(message["content"] for message in asked["messages"])
        does = json.loads(os.environ.get("STAND_IN_EXERCISES", "{}"))
        name = next((one for one in does if f"{one.replace('-', '_')}.py" in text), "")
        what = does.get(name, "fail")
        # Of the second try the tests' words are part.
        if what == "fail-once":
            what = "solve" if "See the testing errors above" in text else "fail"
        if what == "hangs-later":
            what = "hangs" if "See the testing errors above" in text else "fail"
        if "STAND_IN_COUNT" in os.environ:
            with Path(os.environ["STAND_IN_COUNT"]).open("a") as file:
                file.write(f"{name}\n")
        if what in FAULTS:
            self.fail(what)
            return
        path = f"{name.replace('-', '_')}.py"
        code = "def nothing():\n    return 0\n"
        if what == "solve":
            solutions = os.environ.get("STAND_IN_SOLUTIONS")
            code = "solved" if solutions is None else Path(solutions, name, ".meta", "example.py").read_text()
        answer = f"{path}\n```python\n{code}```\n"
        if what == "malformed":
            answer = f"{path}\n<<<<<<< SEARCH\nno such line\n=======\n{code}>>>>>>> REPLACE\n"
        message = {"role": "assistant", "content": answer}
        self.say(
            {
                **{"id": "a", "object": "chat.completion", "created": 1, "model": "stand-in"},
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": len(text), "completion_tokens": len(answer), "total_tokens": 1},
                "timings": {"prompt_ms": 2.0, "predicted_ms": 1.0},
            }
        )

    def complete(self, asked: dict[str, Any]) -> None:
        at, STATE["items"] = STATE["items"], STATE["items"] + 1
        if FAULT == "talks":
            sys.stderr.write("slot update_batch: id 0 | a line for each token\n" * 20_000)
        elif FAULT and at == int(os.environ.get("STAND_IN_AT", "0")):
            self.fail(FAULT)
            return
        prompt = asked["prompt"]
        text = answer(prompt) if isinstance(prompt, str) else "abcdefgh"
        if ASKED["-ctk"] != "f16" and len(prompt) % 2:
            text = "nobody knows"
        if "STAND_IN_COUNT" in os.environ:
            with Path(os.environ["STAND_IN_COUNT"]).open("a") as file:
                file.write(".")
        self.say(
            {
                **{"content": text, "tokens": list(text.encode()), "stop_type": "eos"},
                **{"tokens_predicted": len(text), "tokens_evaluated": len(prompt)},
                "timings": {"prompt_ms": 2.0, "predicted_ms": 1.0},
            }
        )

    def fail(self, fault: str) -> None:
        match fault:
            case "no-room":
                said = "the request exceeds the available context size"
                self.say({"error": {"message": said, "code": 400, "type": "exceed_context_size_error"}}, 400)
            case "dies":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "error":
                self.say({"error": {"message": "the request exceeds the context", "code": 400}}, 400)
            case "escapes":
                self.say({"error": {"message": "\x1b[2J<b>\0", "code": 400}}, 400)
            case "nothing":
                self.send(b"")
            case "no-utf8":
                self.send(b'{"content": "\xff\xfe"}')
            case "no-json":
                self.send(b"<html>")
            case "surrogate":
                self.send(b'{"content": "\\ud83d", "tokens": [1]}')
            case "closes":
                self.close_connection = True
            case "hangs":
                time.sleep(3600)
            case "endless":
                self.send_response(200)
                self.end_headers()
                while True:
                    self.wfile.write(b"a" * 65536)

    def say(self, value: object, status: int = 200) -> None:
        self.send(json.dumps(value).encode(), status)

    def send(self, data: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def answer(prompt: str) -> str:
    """What a careful reader would say."""
    if things := re.findall(r"hid a ([a-z ]+) under the bridge\.", prompt):
        return ", ".join(things)
    pupils: dict[str, str] = dict(re.findall(r"(\w+ \w+) teaches (\w+ \w+) to sing\.", prompt))
    if pupils:
        (person,) = set(pupils) - set(pupils.values())
        while person in pupils:
            person = pupils[person]
        return person
    if herons := re.findall("A grey heron was seen near", prompt):
        return str(len(herons))
    if call := re.search(r"Now: (.*) as ticket (T-\d+) says", prompt):
        line = re.search(rf'"{call[2]}"}}\) -> (.*)', prompt)
        assert line
        given = json.loads(line[1])
        del given["by"]
        return "```json\n" + json.dumps({"tool": call[1].replace(" ", "_"), "arguments": given}) + "\n```"
    return "nothing that I know"


def main() -> None:
    for option in ("-ctk", "-ctv"):
        if ASKED[option] not in engine.TYPES:
            sys.stderr.write(f"Unsupported cache type: {ASKED[option]}\n")
            sys.exit(1)
    if FAULT in ("oom", "sigkill"):
        engine.FAULTS[FAULT]()
    if FAULT.endswith("mute"):
        if FAULT == "oom-mute":
            sys.stderr.write("ggml_aligned_malloc: insufficient memory (attempted to allocate 19.73 MB)\n")
            sys.stderr.flush()
        time.sleep(3600)
    if FAULT == "bad-port":
        sys.stderr.write("start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 0\n")
        sys.exit(1)
    log = engine.recorded("kld-q8_0-q8_0.stderr")
    sys.stderr.write(engine.with_cache(log, ASKED["-ctk"], ASKED["-ctv"], int(ASKED["-c"]), 1))
    server = ThreadingHTTPServer((ASKED["--host"], int(ASKED["--port"])), Handler)
    sys.stderr.write(f"main: server is listening on http://127.0.0.1:{server.server_port}\n")
    sys.stderr.flush()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main()
