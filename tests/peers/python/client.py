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
import warnings

from mcp import Client, MCPDeprecationWarning, MCPError
from mcp_types import (
    CreateMessageResult,
    ElicitResult,
    PromptReference,
    ResourceTemplateReference,
    TextContent,
)

# What is deprecated is used on purpose: servers of the session era have it.
warnings.simplefilter("ignore", MCPDeprecationWarning)

# Every wait ends: the longest call of the checks takes well under a second.
DEADLINE = 60.0
TOOLS = [
    "fast-echo",
    "slow-computation",
    "fetch-data",
    "trigger-notification",
    "request-sampling",
    "request-input",
    "get-server-stats",
]
URIS = ["app://static-data", "app://dynamic-data", "app://large-data"]
# What each era settles on; "legacy" begins a session, and "auto" asks the server first.
VERSIONS = {"legacy": "2025-11-25", "auto": "2026-07-28"}
mode = "legacy"


def client(url: str, **more) -> Client:
    return Client(url, mode=mode, read_timeout_seconds=DEADLINE, **more)


def text_of(result) -> str:
    assert not result.is_error, result
    (content,) = result.content
    assert content.type == "text", content
    return content.text


async def settles_on_a_version(url: str) -> None:
    async with client(url) as peer:
        assert peer.server_info.name == "squall-server", peer.server_info
        assert peer.protocol_version == VERSIONS[mode], peer.protocol_version
        for list_of in ["tools", "resources", "prompts"]:
            assert getattr(peer.server_capabilities, list_of).list_changed, list_of
        assert peer.server_capabilities.completions is not None
        assert peer.server_capabilities.resources.subscribe


async def lists_the_tools_with_their_schemas(url: str) -> None:
    async with client(url) as peer:
        listed = await peer.list_tools()
        assert [tool.name for tool in listed.tools] == TOOLS, listed
        assert all(tool.input_schema["type"] == "object" for tool in listed.tools)
        writers = [tool.name for tool in listed.tools if not tool.annotations.read_only_hint]
        assert writers == ["trigger-notification"], listed


async def reads_every_resource(url: str) -> None:
    async with client(url) as peer:
        listed = await peer.list_resources()
        assert [str(resource.uri) for resource in listed.resources] == URIS, listed
        for uri in [*URIS, "app://items/7"]:
            (contents,) = (await peer.read_resource(uri)).contents
            assert str(contents.uri) == uri, contents
        templates = (await peer.list_resource_templates()).resource_templates
        assert [template.uri_template for template in templates] == ["app://items/{id}"]
        try:
            await peer.read_resource("app://nothing")
        except MCPError as error:
            assert error.code == {"legacy": -32002, "auto": -32602}[mode], error
        else:
            raise AssertionError("there is no such resource")


async def gets_every_prompt(url: str) -> None:
    async with client(url) as peer:
        listed = await peer.list_prompts()
        assert [prompt.name for prompt in listed.prompts] == ["greeting", "code-review"], listed
        for language, begin in [("en", "Hello, Ada"), ("es", "¡Hola, Ada"), ("fr", "Bonjour, Ada")]:
            filled = await peer.get_prompt("greeting", {"name": "Ada", "language": language})
            assert filled.messages[0].content.text.startswith(begin), filled
        filled = await peer.get_prompt("code-review", {"code": "x = 1", "language": "python"})
        assert "x = 1" in filled.messages[0].content.text, filled


async def completes_arguments(url: str) -> None:
    async with client(url) as peer:
        prompt = PromptReference(type="ref/prompt", name="greeting")
        completed = await peer.complete(prompt, {"name": "language", "value": "e"})
        assert completed.completion.values == ["en", "es"], completed
        template = ResourceTemplateReference(type="ref/resource", uri="app://items/{id}")
        completed = await peer.complete(template, {"name": "id", "value": "a"})
        assert completed.completion.values == ["alpha"], completed


async def lets_its_model_answer(url: str) -> None:
    async def sample(context, params) -> CreateMessageResult:
        said = f"{params.messages[0].content.text} {params.max_tokens}"
        content = TextContent(type="text", text=said)
        return CreateMessageResult(role="assistant", content=content, model="peer")

    async with client(url, sampling_callback=sample) as peer:
        result = await peer.call_tool("request-sampling", {"prompt": "2 + 2?", "max_tokens": 7})
        assert text_of(result) == "peer said: 2 + 2? 7", result


async def lets_its_user_answer(url: str) -> None:
    async def elicit(context, params) -> ElicitResult:
        if params.mode == "url":
            return ElicitResult(action="accept")
        assert "name" in params.requested_schema["properties"], params
        return ElicitResult(action="accept", content={"name": "Ada"})

    async with client(url, elicitation_callback=elicit) as peer:
        result = await peer.call_tool("request-input", {"message": "Who is there?"})
        assert text_of(result) == "The user gave the name Ada.", result
        result = await peer.call_tool("request-input", {"mode": "url"})
        assert text_of(result) == "The user agreed to open the page.", result


async def is_told_what_it_cannot_do(url: str) -> None:
    async with client(url) as peer:
        result = await peer.call_tool("request-sampling", {"prompt": "x"})
        assert "does not support sampling" in text_of(result), result
        result = await peer.call_tool("request-input")
        assert "does not support elicitation" in text_of(result), result


async def hears_of_a_resource_that_it_subscribed_to(url: str) -> None:
    heard = asyncio.Queue()

    async def on_message(message) -> None:
        heard.put_nowait(message)

    updated = {"kind": "updated", "uri": "app://dynamic-data"}
    async with client(url, message_handler=on_message) as peer:
        await peer.subscribe_resource("app://dynamic-data")
        sent = json.loads(text_of(await peer.call_tool("trigger-notification", updated)))
        while sent["streams"] == 0:  # the client opens its stream in the background
            sent = json.loads(text_of(await peer.call_tool("trigger-notification", updated)))
        message = await heard.get()
        assert message.method == "notifications/resources/updated", message
        assert str(message.params.uri) == "app://dynamic-data", message
        await peer.unsubscribe_resource("app://dynamic-data")
        sent = json.loads(text_of(await peer.call_tool("trigger-notification", updated)))
        assert sent["streams"] == 0, sent


async def hears_what_it_listens_for(url: str) -> None:
    uri = "app://dynamic-data"
    async with client(url) as peer:
        async with peer.listen(prompts_list_changed=True, resource_subscriptions=[uri]) as events:
            for arguments in [
                {"kind": "tools"},
                {"kind": "updated", "uri": "app://static-data"},
                {"kind": "prompts"},
            ]:
                await peer.call_tool("trigger-notification", arguments)
            first = await anext(aiter(events))
            assert type(first).__name__ == "PromptsListChanged", first
            await peer.call_tool("trigger-notification", {"kind": "updated", "uri": uri})
            second = await anext(aiter(events))
            assert type(second).__name__ == "ResourceUpdated" and second.uri == uri, second


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
        assert stats["sessions"]["active"] >= (1 if mode == "legacy" else 0), stats
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


IN_BOTH_ERAS = [
    settles_on_a_version,
    lists_the_tools_with_their_schemas,
    reads_every_resource,
    gets_every_prompt,
    completes_arguments,
    calls_fast_echo,
    calls_slow_computation,
    calls_fetch_data,
    calls_get_server_stats,
    lets_its_model_answer,
    lets_its_user_answer,
    is_told_what_it_cannot_do,
    hears_of_progress_on_the_stream_of_an_answer,
    is_told_which_argument_is_wrong,
    makes_many_calls_at_once,
]
IN_SESSIONS = [
    hears_what_trigger_notification_sends,
    hears_of_a_resource_that_it_subscribed_to,
    is_told_404_when_its_session_is_gone,
]
WITHOUT_SESSIONS = [hears_what_it_listens_for]
CHECKS = {"legacy": IN_BOTH_ERAS + IN_SESSIONS, "auto": IN_BOTH_ERAS + WITHOUT_SESSIONS}


async def passes(check, url: str) -> bool:
    name = f"python client {check.__name__} ({VERSIONS[mode]})"
    try:
        await asyncio.wait_for(check(url), DEADLINE)
    except Exception:
        print(f"{name} ... FAILED", flush=True)
        traceback.print_exc()
        return False
    print(f"{name} ... ok", flush=True)
    return True


async def main(url: str) -> int:
    global mode
    outcomes = []
    for mode, checks in CHECKS.items():
        outcomes += [await passes(check, url) for check in checks]
    failed = outcomes.count(False)
    print(f"{outcomes.count(True)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(sys.argv[1])))
