"""What a giver would not want others to read is replaced; an engine's own words stay."""

from __future__ import annotations

import json

import pytest
from kvsweep.slices.forms import HOMES, HOSTS, SECRETS, USERS
from kvsweep.slices.private import Private, users_in

TOKEN = "hf_" + "aBcD1234" * 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("loading '/home/ann/models/x.gguf'", "loading '/home/user/models/x.gguf'"),
        ("loading /Users/ann/models/x.gguf", "loading /Users/user/models/x.gguf"),
        ("/Users/Shared/x.gguf", "/Users/Shared/x.gguf"),
        ("file:///var/home/ann/x", "file:///var/home/user/x"),
        (r"C:\Users\ann\x.gguf", r"C:\Users\user\x.gguf"),
        (r'{"path": "C:\\Users\\ann\\x"}', r'{"path": "C:\\Users\\user\\x"}'),
        ("open=%2FUsers%2Fann%2Fx", "open=%2FUsers%2Fuser%2Fx"),
        ("/root/models/x.gguf", "/home/user/models/x.gguf"),
        ("/run/media/ann/disk/x", "/run/media/user/disk/x"),
        ("/private/var/folders/ab/c_123xyz/T/x", "/private/var/folders/user/T/x"),
        ("cd ~ann/x", "cd ~user/x"),
        ("/scratch/ann/x", "/scratch/user/x"),
        ("USER=ann", "USER=user"),
    ],
)
def test_home_directories(text: str, shown: str) -> None:
    assert Private(users=["ann"]).text(text) == shown


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        "ghp_" + "x1Y2" * 9,
        "github_pat_11ABCDEFG0123456789_abcdefghij",
        "glpat-abcdefghij0123456789",
        "sk-proj-abcdefghij0123456789",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ],
)
@pytest.mark.parametrize("around", ["{}", "token {} was refused", '"{}"', "HF={},", "https://x.org/?a={}&b"])
def test_tokens(secret: str, around: str) -> None:
    private = Private()
    assert secret not in private.text(around.format(secret))
    assert private.replaced[SECRETS] == 1


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer s3cr3t-value",
        "authorization: Basic czNjcjN0LXZhbHVl s3cr3t-value",
        '{"Authorization": "token s3cr3t-value"}',
        "> Proxy-Authorization: Digest s3cr3t-value",
        "Cookie: session=s3cr3t-value; x=y",
        "X-Api-Key: s3cr3t-value",
        "HF_TOKEN=s3cr3t-value",
        "AWS_SECRET_ACCESS_KEY=s3cr3t-value",
        "https://x.org/a?X-Amz-Signature=s3cr3t-value&x=1",
        "llama-cli --hf-token s3cr3t-value -m x",
        "llama-cli -hft s3cr3t-value",
        "https://ann:s3cr3t-value@x.org/a.gguf",
        "git+https://s3cr3t-value@x.org/a",
        "HF_TOKEN='s3cr3t-value'",
        'export HF_TOKEN = "s3cr3t-value"',
        "hf_token: s3cr3t-value",
        "api_key: s3cr3t-value",
        '{\\"api_key\\": \\"s3cr3t-value\\"}',
        "aws_secret_access_key = s3cr3t-value",
        "password: s3cr3t-value",
        "pwd=s3cr3t-value",
        "auth=s3cr3t-value&session_id=s3cr3t-value",
        "?u=x%26access_token%3Ds3cr3t-value%26y",
        "Authorization%3A%20Bearer%20s3cr3t-value",
        "bearer%20s3cr3t-value",
        "?from=https%3A%2F%2Fann%3As3cr3t-value%40x.org%2Fa",
        "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cr3t-value\n-----END OPENSSH PRIVATE KEY-----",
    ],
)
def test_what_is_called_a_secret(text: str) -> None:
    assert "s3cr3t-value" not in Private().text(text)


@pytest.mark.parametrize(
    "line",
    [
        "print_info: EOS token             = 2 '</s>'",
        "load: control token:      1 '<s>' is not marked as EOG",
        "print_info: max token length      = 93",
        "llama_model_loader: - kv  21: tokenizer.ggml.bos_token_id u32 = 1",
        "load: token to piece cache size = 0.1713 MB",
        "The password of Koko is 73035.",
    ],
)
def test_what_an_engine_says_of_tokens_stays(line: str) -> None:
    assert Private().text(line) == line


@pytest.mark.parametrize(
    "path",
    [
        "/home/ann smith/x",
        "/home/ann\\ smith/x",
        "file:///home/ann%20smith/x",
        "?path=%2Fhome%2Fann%20smith%2Fx",
        "\\/home\\/ann smith\\/x",
        "/srv/of smith/x",
        "/srv/of\\ smith/x",
        "file:///srv/of%20smith/x",
    ],
)
def test_a_path_as_a_shell_an_address_and_json_write_it(path: str) -> None:
    found = Private(homes=["/home/ann smith"], places={"/srv/of smith": "/models"}).text(path)
    assert "smith" not in found and found.endswith("x")


def test_an_address_of_mail_in_an_address() -> None:
    assert Private().text("?to=ann%40example.org&x") == "?to=user@host&x"


def test_secrets_of_a_record() -> None:
    run = {
        "environment": {"HF_TOKEN": "s3cr3t-value", "GGML_N": "4"},
        "command": ["x", "--api-key", "s3cr3t-value", "-m", "/home/ann/x"],
        "machine": {"host": "vm", "name": "box"},
    }
    found = Private(hosts=["vm"]).value(run)
    assert "s3cr3t-value" not in json.dumps(found)
    assert found["environment"]["GGML_N"] == "4" and found["machine"]["host"] == "host-1"
    assert found["command"][-1] == "/home/user/x"


def test_people_and_hosts() -> None:
    private = Private(users=["annabel"], hosts=["attic-7.example.org"])
    text = "annabel@attic-7.example.org on ATTIC-7, ssh annabel@10.0.0.7, Annabels-MacBook.local, Annabel's"
    found = private.text(text)
    assert "nnabel" not in found and "attic-7" not in found.lower() and "10.0.0.7" not in found
    assert private.replaced[HOSTS] and private.replaced[USERS]


def test_words_of_an_engine_stay_where_a_user_has_such_a_name() -> None:
    private = Private(users=["cuda", "max"], hosts=["metal", "vm"], kept=["turbo4"])
    line = "ggml_cuda_init: CUDA0, metal backend, max = 3, vm, turbo4"
    assert private.text(line) == line
    assert private.text("/home/cuda/x /data/max/y cuda@metal") == "/home/user/x /data/user/y user@host"


def test_places_of_the_study() -> None:
    private = Private(places={"/data/secret-client/study": "/kvsweep", "/data/secret-client": "/models"})
    assert private.text("/data/secret-client/study/results/x") == "/kvsweep/results/x"
    assert private.text("/data/secret-client/x.gguf") == "/models/x.gguf"


def test_a_home_with_a_space_is_known_by_name() -> None:
    assert (
        Private(homes=["/Users/Ann Smith"]).text("load /Users/Ann Smith/x.gguf") == "load /home/user/x.gguf"
    )


def test_users_are_found_in_paths() -> None:
    assert users_in(["/home/ann/x", "C:\\Users\\bob\\y", "/home/user/z"]) == {"ann", "bob"}


def test_what_is_replaced_once_stays() -> None:
    private = Private(users=["ann"], hosts=["attic"])
    text = private.text(f"/home/ann/x ann@attic {TOKEN} https://ann:pw@x.org /root/x attic")
    before = private.replaced.total()
    assert private.text(text) == text and private.replaced.total() == before
    assert private.replaced[HOMES]
