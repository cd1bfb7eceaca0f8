"""Files on Hugging Face, at an exact commit.

Addresses, the endpoint (``HF_ENDPOINT``) and the user's token (``HF_TOKEN``, or what ``hf auth login`` stored) are
those of the ``huggingface_hub`` package. The bytes are fetched by ``download``, because the package's own download
begins again from nothing when it was interrupted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kvsweep.addresses import has_secret
from kvsweep.errors import KvsweepError
from kvsweep.inputs.remote import Answer, Remote, plain_answer
from kvsweep.study.origin import HubFile, Origin

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True)
class HubRemote(Remote):
    """A file of a repository; ``where`` is the configuration key to name in errors."""

    file: HubFile
    where: str
    token: str | None = field(repr=False)

    @property
    def is_immutable(self) -> bool:
        return True  # a commit

    def authorization(self) -> Callable[[Any], Any]:
        """The token for the hub. requests drops it when it is sent on to another host, as it must be."""

        def authorize(request: Any) -> Any:
            if self.token is not None:
                request.headers["Authorization"] = f"Bearer {self.token}"
            return request

        return authorize

    def refusal(self, response: requests.Response) -> str:
        """Why the hub refused the file and what to do about it, by the code that it names or by the HTTP status."""
        code, status = response.headers.get("X-Error-Code", ""), response.status_code
        token = "HF_TOKEN" if self.token is None else "another HF_TOKEN"
        if code == "EntryNotFound":
            return "the repository has no such file at that commit; correct file or revision"
        if code == "RevisionNotFound":
            return "the repository has no such commit; correct revision"
        if code == "GatedRepo":
            return f"its owner gives it only to who accepted the conditions on its page; accept them and set {token}"
        if code == "RepoNotFound" or status == 401:
            return f"there is no such repository, or it is private; correct repo, or set {token}"
        return super().refusal(response)

    def answer(self, response: requests.Response) -> Answer:
        """What the hub says of the file. It does so in the response that sends on to the place where the bytes lie."""
        headers: dict[str, str] = {}
        for part in (*response.history, response):
            for name, value in part.headers.items():
                headers.setdefault(name.lower(), value)
        commit = headers.get("x-repo-commit")
        if commit is None:
            raise KvsweepError(
                f"{self.where}: {self.shown}: what answered is no Hugging Face hub; check HF_ENDPOINT and the network."
            )
        if commit != self.file.revision:
            raise KvsweepError(f"{self.where}: {self.shown}: the server gave commit {commit} instead.")
        plain = plain_answer(response)
        linked = headers.get("x-linked-size", "")
        etag = headers.get("x-linked-etag", "").removeprefix("W/").strip('"')
        return Answer(
            size_bytes=int(linked) if linked.isdigit() else plain.size_bytes,
            version=etag or plain.version,
            # Of a large file the hub's ETag is the sha256; of a small one it is git's.
            sha256=etag if re.fullmatch(r"[0-9a-f]{64}", etag) else None,
        )


def hub_remote(file: HubFile, where: str) -> HubRemote:
    """The remote of a file. Raises KvsweepError where the user has switched the network off (HF_HUB_OFFLINE)."""
    # Imported late: it takes long, and most runs fetch nothing from there.
    from huggingface_hub import constants, get_token, hf_hub_url

    if constants.is_offline_mode():
        raise KvsweepError(f"{where}: HF_HUB_OFFLINE is set and the file is not here yet; unset it to fetch.")
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    if has_secret(endpoint):
        raise KvsweepError(f"{where}: HF_ENDPOINT has a user or password in it; set HF_TOKEN instead.")
    url = hf_hub_url(
        file.repo,
        file.file,
        repo_type=file.type,
        revision=file.revision,
        endpoint=endpoint or None,
    )
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    return HubRemote(url, str(Origin(huggingface=file)), file, where, token)
