"""Encrypted media: uploads by POST, downloads by their path (docs/reference/protocol.md §7.1).

Clients reach it by https at the host that `w:m` names, so it needs a server with TLS.
"""

import base64
import hashlib

from fastapi import APIRouter, HTTPException, Request, Response

_FOLDER = "/v/t62"
# What Baileys (lib/Defaults/index.js rc14, MEDIA_PATH_MAP) and whatsmeow (upload.go) post to.
_UPLOADS = ("/mms/{kind}/{token:path}", "/mms/{kind}", "/product/{kind}/{token:path}")


class MediaStore:
    """Encrypted files by the hash of what was uploaded."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Keep a file; return the direct path at which it can be fetched."""
        digest = hashlib.sha256(data).digest()
        name = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self._files[name] = data
        return f"{_FOLDER}/{name}"

    def get(self, name: str) -> bytes | None:
        """Return the file with the last part of a direct path."""
        return self._files.get(name)

    def forget(self) -> int:
        """Lose every file, as the service does after a while; return how many there were."""
        count = len(self._files)
        self._files.clear()
        return count


def media_routes(store: MediaStore) -> APIRouter:
    """Return the routes for uploads and downloads."""
    router = APIRouter(include_in_schema=False)

    async def upload(request: Request) -> dict[str, str]:
        path = store.put(await request.body())
        return {"url": f"https://{request.url.netloc}{path}", "direct_path": path}

    for path in _UPLOADS:
        router.add_api_route(path, upload, methods=["POST"])

    @router.get(_FOLDER + "/{name}")
    async def download(name: str) -> Response:
        data = store.get(name)
        if data is None:
            raise HTTPException(404, "no such file")
        return Response(data, media_type="application/octet-stream")

    return router
