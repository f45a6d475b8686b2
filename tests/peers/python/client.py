"""A client of the official Python SDK that talks to `squall server`, directly or through the proxy.

Usage: client.py URL, where URL names the MCP endpoint (http://127.0.0.1:PORT/mcp).
Prints a line for each check and `N passed, N failed` at the end; exit code 1 if one failed.
"""

import asyncio
import json
import sys
import traceback
import urllib.error
import urllib.request

from mcp import Client, MCPError

# Every wait ends: the longest call of the checks takes well under a second.
DEADLINE = 60.0
READERS = ["fast-echo", "slow-computation", "fetch-data", "get-server-stats"]
TOOLS = [*READERS, "trigger-notification"]


def client(url: str, mode: str = "legacy", **more) -> Client:
    return Client(url, mode=mode, read_timeout_seconds=DEADLINE, **more)


def text_of(result) -> str:
    assert not result.is_error, result
    (content,) = result.content
    assert content.type == "text", content
    return content.text


async def initializes_a_session(url: str) -> None:
    async with client(url) as peer:
        assert peer.server_info.name == "squall-server", peer.server_info
        assert peer.protocol_version == "2025-11-25", peer.protocol_version
        for list_of in ["tools", "resources", "prompts"]:
            assert getattr(peer.server_capabilities, list_of).list_changed, list_of


async def falls_back_to_a_session_when_it_probes_for_the_stateless_era(url: str) -> None:
    async with client(url, mode="auto") as peer:
        assert peer.protocol_version == "2025-11-25", peer.protocol_version
        result = await peer.call_tool("fast-echo", {"message": "after a probe"})
        assert text_of(result) == "after a probe"


async def lists_the_tools_with_their_schemas(url: str) -> None:
    async with client(url) as peer:
        listed = await peer.list_tools()
        assert [tool.name for tool in listed.tools] == TOOLS, listed
        assert all(tool.input_schema["type"] == "object" for tool in listed.tools)
        readers = [tool.name for tool in listed.tools if tool.annotations.read_only_hint]
        assert readers == READERS, listed


async def calls_fast_echo(url: str) -> None:
    async with client(url) as peer:
        for message in ["hello", "", "line\nfeed \u00e9 \U0001f980", "x" * 100_000]:
            result = await peer.call_tool("fast-echo", {"message": message})
            assert text_of(result) == message


async def calls_slow_computation(url: str) -> None:
    async with client(url) as peer:
        result = await peer.call_tool("slow-computation", {"iterations": 1000})
        assert text_of(result).endswith("after 1000 iterations"), result


async def calls_fetch_data(url: str) -> None:
    async with client(url) as peer:
        result = await peer.call_tool("fetch-data", {"delay_ms": 5, "url": "label"})
        assert json.loads(text_of(result))["url"] == "label", result


async def calls_get_server_stats(url: str) -> None:
    async with client(url) as peer:
        await peer.call_tool("fast-echo", {"message": "counted"})
        stats = json.loads(text_of(await peer.call_tool("get-server-stats")))
        assert stats["sessions"]["active"] >= 1, stats
        assert stats["tool_calls"]["fast-echo"] >= 1, stats


async def hears_of_progress_on_the_stream_of_an_answer(url: str) -> None:
    heard = []

    async def on_progress(progress, total, message) -> None:
        heard.append((progress, total))

    async with client(url) as peer:
        arguments = {"delay_ms": 50}
        result = await peer.call_tool("fetch-data", arguments, progress_callback=on_progress)
        assert json.loads(text_of(result))["delay_ms"] == 50
        while len(heard) < 5:  # each callback is a task of its own
            await asyncio.sleep(0)
    assert sorted(heard) == [(step, 5) for step in range(1, 6)], heard


async def hears_what_trigger_notification_sends(url: str) -> None:
    heard = asyncio.Queue()

    async def on_message(message) -> None:
        heard.put_nowait(getattr(message, "method", None))

    async with client(url, message_handler=on_message) as peer:
        for kind in ["tools", "resources", "prompts"]:
            call = {"kind": kind, "to": "session"}
            sent = json.loads(text_of(await peer.call_tool("trigger-notification", call)))
            while sent["streams"] == 0:  # the client opens its stream in the background
                sent = json.loads(text_of(await peer.call_tool("trigger-notification", call)))
            assert await heard.get() == f"notifications/{kind}/list_changed"


async def is_told_which_argument_is_wrong(url: str) -> None:
    async with client(url) as peer:
        for tool, arguments, word in [
            ("fast-echo", {}, "message"),
            ("fetch-data", {"delay_ms": 10_001}, "10000"),
            ("nonsense", {}, "fast-echo"),
        ]:
            try:
                result = await peer.call_tool(tool, arguments)
            except MCPError as error:
                assert error.code == -32602 and word in error.message, error
            else:
                raise AssertionError(f"{tool} took {arguments}: {result}")


async def makes_many_calls_at_once(url: str) -> None:
    async with client(url) as peer:
        messages = [str(number) for number in range(50)]
        calls = [peer.call_tool("fast-echo", {"message": message}) for message in messages]
        results = await asyncio.gather(*calls)
        assert [text_of(result) for result in results] == messages


async def is_told_404_when_its_session_is_gone(url: str) -> None:
    """By hand, because the SDK tells no session's id."""
    request = urllib.request.Request(
        url,
        data=b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
        headers={
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "Mcp-Session-Id": "0123456789abcdef0123456789abcdef",
        },
    )
    try:
        with await asyncio.to_thread(urllib.request.urlopen, request, timeout=DEADLINE) as answer:
            raise AssertionError(f"status {answer.status}")
    except urllib.error.HTTPError as error:
        assert error.code == 404, error.code
        assert "initialize" in json.load(error)["error"]["message"]


CHECKS = [
    initializes_a_session,
    falls_back_to_a_session_when_it_probes_for_the_stateless_era,
    lists_the_tools_with_their_schemas,
    calls_fast_echo,
    calls_slow_computation,
    calls_fetch_data,
    calls_get_server_stats,
    hears_of_progress_on_the_stream_of_an_answer,
    hears_what_trigger_notification_sends,
    is_told_which_argument_is_wrong,
    makes_many_calls_at_once,
    is_told_404_when_its_session_is_gone,
]


async def passes(check, url: str) -> bool:
    try:
        await asyncio.wait_for(check(url), DEADLINE)
    except Exception:
        print(f"python client {check.__name__} ... FAILED", flush=True)
        traceback.print_exc()
        return False
    print(f"python client {check.__name__} ... ok", flush=True)
    return True


async def main(url: str) -> int:
    outcomes = [await passes(check, url) for check in CHECKS]
    failed = outcomes.count(False)
    print(f"{outcomes.count(True)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(sys.argv[1])))
