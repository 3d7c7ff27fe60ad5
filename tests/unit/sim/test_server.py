"""Over real sockets: WebSocket and admin API on one port, plain and under TLS."""

import re
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest
import websockets

from perene.sim import Settings, SimServer, Simulator, serve
from perene.wire.codec import decode, encode
from perene.wire.frames import FrameReader, client_intro, frame
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.noise import ClientHandshake, NoiseTransport
from perene.wire.proto import wa_pb2
from tests.unit.sim.client import Client, Identity


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    simulator = Simulator(seed=1, settings=Settings(initial_sync=False))
    listening = await serve(simulator)
    yield listening
    await listening.close()


@pytest.fixture
async def admin(server: SimServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.admin_url, trust_env=False) as client:
        yield client


class OverSocket:
    """A companion on a real WebSocket, as little of it as these tests need."""

    def __init__(self, server: SimServer, me: Identity) -> None:
        self.server, self.me = server, me
        self.frames = FrameReader()
        self.waiting: list[bytes] = []

    async def open(self, tls: ssl.SSLContext | None = None) -> None:
        self.socket = await websockets.connect(
            self.server.ws_url, ssl=tls, compression=None, proxy=None
        )
        jid = Jid.parse(self.me.jid)
        payload = wa_pb2.ClientPayload(username=int(jid.user), device=jid.device, passive=False)
        handshake = ClientHandshake(
            static=self.me.noise,
            root_key=self.server.root_key,
            now=self.server.simulator.world.now(),
        )
        await self.socket.send(client_intro() + frame(handshake.hello()))
        finish = handshake.finish(await self._payload(), payload.SerializeToString())
        self.noise: NoiseTransport = handshake.transport
        await self.socket.send(frame(finish))

    async def _payload(self) -> bytes:
        while not self.waiting:
            data = await self.socket.recv()
            assert isinstance(data, bytes)
            self.waiting += self.frames.receive_data(data)
        return self.waiting.pop(0)

    async def next(self) -> Node:
        return decode(self.noise.decrypt(await self._payload()))

    async def next_of(self, tag: str) -> Node:
        while (node := await self.next()).tag != tag:
            pass
        return node

    async def send(self, node: Node) -> None:
        await self.socket.send(frame(self.noise.encrypt(encode(node))))


@pytest.mark.requirement("F8")
async def test_a_session_over_a_socket_gets_what_the_admin_api_sends(
    server: SimServer, admin: httpx.AsyncClient
) -> None:
    me = await Client.paired(server.simulator)
    client = OverSocket(server, me)
    await client.open()
    assert (await client.next()).tag == "success"
    (contact,) = (await admin.post("/contacts", json={"name": "Bea"})).json()
    sent = await admin.post(
        f"/accounts/{contact['phone']}/send", json={"to": me.phone, "text": "hello"}
    )
    stanza = await client.next_of("message")
    assert stanza.attr("id") == sent.json()["id"]
    assert stanza.attr("notify") == "Bea"
    (delivered,) = (await admin.get(f"/accounts/{me.phone}/delivered")).json()
    assert (delivered["text"], delivered["id"]) == ("hello", stanza.attr("id"))
    await client.send(
        Node("receipt", {"id": stanza.attr("id"), "to": stanza.attr("from"), "type": "inactive"})
    )
    await client.send(Node("iq", {"id": "1", "xmlns": "w:p", "type": "get"}))
    assert (await client.next_of("iq")).attr("id") == "1"
    inbox = (await admin.get(f"/contacts/{contact['phone']}/inbox")).json()
    assert inbox["receipts"][stanza.attr("id")] == {"delivered": 1, "inactive": 1}
    stats = (await admin.get("/stats")).json()
    assert stats["companion_stanzas"]["answered"] == {"receipt": 1}
    assert stats["sessions"] == 1
    await client.socket.close()


async def test_a_socket_that_the_client_closes_ends_its_session(server: SimServer) -> None:
    client = OverSocket(server, await Client.paired(server.simulator))
    await client.open()
    await client.next_of("success")
    await client.socket.close()
    assert server.simulator.service.gatekeeper.sessions == {}


async def test_a_session_that_the_server_ends_is_closed_cleanly(server: SimServer) -> None:
    client = OverSocket(server, await Client.paired(server.simulator))
    await client.open()
    await client.next_of("success")
    server.simulator.disconnect(how="stream_error", code=503)
    assert (await client.next_of("stream:error")).attr("code") == "503"
    with pytest.raises(websockets.ConnectionClosedOK):
        await client.next()


async def test_a_qr_is_scanned_over_http(server: SimServer, admin: httpx.AsyncClient) -> None:
    client = Client(server.simulator)
    texts = await client.register()
    answer = await admin.post("/mock-phone/scan-qr?phone=15551239999", content=texts[0])
    assert answer.status_code == 200
    assert answer.json()["jid"] == "15551239999:1@s.whatsapp.net"
    await client.answer_pairing()
    assert client.me.phone == "15551239999"
    assert (await admin.post("/mock-phone/scan-qr", content=texts[0])).status_code == 410
    assert (await admin.post("/mock-phone/scan-qr", content="nonsense")).status_code == 400
    code = {"phone": "15550000009", "code": "ABCD1234"}
    assert (await admin.post("/mock-phone/enter-code", json=code)).status_code == 410


async def test_the_documentation_needs_no_other_host(admin: httpx.AsyncClient) -> None:
    page = (await admin.get("/docs")).text
    assert "http://" not in page
    assert "https://" not in page
    files = re.findall(r'"(/admin/[^"]+\.(?:js|css|png))"', page)
    assert len(files) == 3
    for file in files:
        assert (await admin.get(file.removeprefix("/admin"))).status_code == 200


async def test_what_does_not_exist_is_404(admin: httpx.AsyncClient) -> None:
    for path in ("/accounts/1", "/contacts/1/inbox", "/accounts/1/delivered", "/traffic/1"):
        assert (await admin.get(path)).status_code == 404
    body = {"to": "1", "text": "hi"}
    assert (await admin.post("/accounts/1/send", json=body)).status_code == 404
    assert (await admin.delete("/faults/1")).status_code == 404


async def test_faults_are_listed_planned_and_cancelled(admin: httpx.AsyncClient) -> None:
    made = await admin.post("/faults", json={"kind": "corrupt", "phone": "1", "count": 3})
    assert made.status_code == 201
    listed = (await admin.get("/faults")).json()
    assert listed["pending"] == [made.json()]
    assert "corrupt" in listed["kinds"]
    assert (await admin.delete(f"/faults/{made.json()['id']}")).status_code == 200
    assert (await admin.get("/faults")).json()["pending"] == []
    assert (await admin.post("/faults", json={"kind": "nonsense"})).status_code == 422


async def test_a_group_is_made_changed_and_written_to_over_http(
    server: SimServer, admin: httpx.AsyncClient
) -> None:
    client = await Client.online(server.simulator)
    phone = client.me.phone
    one, two = (await admin.post("/contacts", json={"count": 2, "addressing": "pn"})).json()
    form = {"subject": "g", "creator": one["phone"], "members": [phone]}
    made = (await admin.post("/groups", json=form)).json()
    joined = {"change": "add", "phones": [two["phone"]]}
    changed = (await admin.post(f"/groups/{made['jid']}/participants", json=joined)).json()
    assert changed["participants"] == {
        one["phone"]: "superadmin",
        phone: "member",
        two["phone"]: "member",
    }
    assert (await admin.get("/groups")).json() == [changed]
    body = {"to": made["jid"], "text": "hi all"}
    await admin.post(f"/accounts/{two['phone']}/send", json=body)
    await client.read()
    assert client.texts() == ["hi all"]


async def test_what_people_are_and_do_is_changed_over_http(
    server: SimServer, admin: httpx.AsyncClient
) -> None:
    phone = (await Client.online(server.simulator)).me.phone
    (one,) = (await admin.post("/contacts", json={"addressing": "pn"})).json()
    patch = {"online": False, "auto_read": True, "addressing": "lid", "name": "X", "resends": False}
    changed = (await admin.patch(f"/accounts/{one['phone']}", json=patch)).json()
    assert (changed["name"], changed["addressing"]) == ("X", "lid")
    history = [{"chat": one["phone"], "id": "A", "text": "old", "time": 1}]
    assert (await admin.post(f"/accounts/{phone}/history", json=history)).json() == {"messages": 1}
    assert (await admin.post(f"/accounts/{phone}/read", json={"ids": ["A"]})).json() == {"read": 0}
    for loss in ("lose-ratchets", "new-identity"):
        assert (await admin.post(f"/accounts/{one['phone']}/{loss}")).status_code == 200
    assert len((await admin.get("/accounts")).json()) == 2


async def test_clients_are_refused_and_ended_over_http(
    server: SimServer, admin: httpx.AsyncClient
) -> None:
    phone = (await Client.online(server.simulator)).me.phone
    assert (await admin.post("/minimum-version", json={"version": [9]})).status_code == 200
    assert (await admin.post("/disconnect", json={"phone": phone})).json() == {"ended": 1}
    assert (await admin.post("/ban", json={"phone": phone, "seconds": 60})).status_code == 200
    assert (await admin.delete("/faults")).status_code == 200
    account = (await admin.delete(f"/accounts/{phone}/device")).json()
    assert account["removed_devices"] == [1]
    stanza = {"tag": "ib", "children": [{"tag": "dirty", "text": "x"}, {"tag": "a", "hex": "00"}]}
    given = await admin.post(f"/accounts/{phone}/stanza", json=stanza)
    assert given.status_code == 404
    assert (await admin.post(f"/accounts/{phone}/ping")).json() == {"pinged": 0}


async def test_what_clients_trust_and_fetch_is_told_over_http(
    server: SimServer, admin: httpx.AsyncClient
) -> None:
    assert (await admin.get("/certificate")).status_code == 404
    assert (await admin.delete("/media")).json() == {"forgotten": 0}
    root = (await admin.get("/root-key")).json()["root_key"]
    assert bytes.fromhex(root) == server.root_key


async def test_a_load_is_prepared_fired_and_measured(
    server: SimServer, admin: httpx.AsyncClient
) -> None:
    me = await Client.paired(server.simulator)
    client = OverSocket(server, me)
    await client.open()
    await client.next_of("success")
    plan = {"to": me.phone, "contacts": 2, "messages": 3, "size": 50}
    load = (await admin.post("/traffic", json=plan)).json()
    assert load["total"] == 6
    await admin.post(f"/traffic/{load['id']}/fire")
    for _ in range(6):
        stanza = await client.next_of("message")
        await client.send(Node("receipt", {"id": stanza.attr("id"), "to": stanza.attr("from")}))
    await client.send(Node("iq", {"id": "1", "xmlns": "w:p", "type": "get"}))
    await client.next_of("iq")
    done = (await admin.get(f"/traffic/{load['id']}")).json()
    assert (done["sent"], done["answered"], done["firing"]) == (6, 6, False)
    assert done["last_answer_s"] > 0
    await client.socket.close()


async def test_the_socket_is_at_its_path_only(server: SimServer) -> None:
    url = server.ws_url.replace("/ws/chat", "/elsewhere")
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(url, proxy=None)


async def test_under_tls_with_a_certificate_of_its_own() -> None:
    simulator = Simulator(seed=1)
    server = await serve(simulator, tls=True)
    try:
        assert simulator.certificate
        trusting = ssl.create_default_context(cadata=simulator.certificate.decode())
        client = OverSocket(server, await Client.paired(simulator))
        assert server.ws_url.startswith("wss://")
        await client.open(trusting)
        assert (await client.next()).tag == "success"
        await client.socket.close()
    finally:
        await server.close()


async def test_media_come_back_as_they_were_uploaded(server: SimServer) -> None:
    url = server.admin_url.removesuffix("/admin")
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = (await client.post("/mms/image/TOKEN?auth=a&token=t", content=b"sealed")).json()
        assert (await client.get(answer["direct_path"])).content == b"sealed"
        assert answer["url"].endswith(answer["direct_path"])
        assert server.simulator.media.forget() == 1
        assert (await client.get(answer["direct_path"])).status_code == 404


async def test_the_live_version_is_named_as_the_web_clients_own_script_does(
    server: SimServer, admin: httpx.AsyncClient
) -> None:
    page = server.admin_url.replace("/admin", "/sw.js")
    await admin.post("/minimum-version", json={"version": [2, 3000, 1_060_000_001]})
    answer = await admin.get(page)
    assert answer.headers["content-type"].startswith("application/javascript")
    assert '\\"client_revision\\":1060000001' in answer.text

    told = await admin.post("/web-version", json={"revision": 1_060_000_002})
    assert told.json() == {"revision": 1_060_000_002, "status": 200}
    assert '\\"client_revision\\":1060000002' in (await admin.get(page)).text

    await admin.post("/web-version", json={"status": 503})
    assert (await admin.get(page)).status_code == 503
    assert (await admin.get("/stats")).json()["events"]["version_lookups"] == 3


@pytest.mark.parametrize("here", ["127.0.0.1", "[::1]"])
async def test_every_address_is_reached_by_both_versions_of_the_internet_protocol(
    here: str,
) -> None:
    listening = await serve(Simulator(seed=1), "::")
    async with httpx.AsyncClient(trust_env=False) as client:
        found = await client.get(f"http://{here}:{listening.port}/sw.js")
    await listening.close()
    assert found.status_code == 200
