"""Bodies that no gate may let through: what they try, how they are sent, and what must come. Data, driven by others.

Each is sent by POST to `/openai/v1/OPERATION` by a caller who may use the model `gpt` for every operation, whose policy
names no further field; nobody has made anything before. Whatever the status, nothing goes upstream.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass

JSON = "application/json"
BOUNDARY = "0123456789abcdef0123456789abcdef"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
CHAT = "chat/completions"
RESPONSES = "responses"
SPEECH = "audio/speech"
TRANSCRIPTIONS = "audio/transcriptions"
PIXEL = "data:image/png;base64,iVBORw0KGgo="


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One body, and the status that must come of it."""

    id: str
    operation: str
    body: bytes
    status: int = 400
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


def _raw(
    id_: str, body: bytes, *, operation: str = CHAT, status: int = 400, content_type: str = JSON
) -> Hostile:
    return Hostile(id=id_, operation=operation, body=body, status=status, content_type=content_type)


def _chat(id_: str, **fields: object) -> Hostile:
    document = {"model": "gpt", "messages": [{"role": "user", "content": "hello"}], **fields}
    return _raw(id_, json.dumps(document).encode())


def _part(id_: str, **part: object) -> Hostile:
    return _chat(id_, messages=[{"role": "user", "content": [{"type": "text", "text": "see"}, part]}])


def _respond(id_: str, *, status: int = 400, **fields: object) -> Hostile:
    document = {"model": "gpt", "input": "hello", **fields}
    return _raw(id_, json.dumps(document).encode(), operation=RESPONSES, status=status)


def _input(id_: str, *items: object, status: int = 400) -> Hostile:
    return _respond(id_, status=status, input=list(items))


def _other(id_: str, operation: str, **fields: object) -> Hostile:
    return _raw(id_, json.dumps({"model": "gpt", **fields}).encode(), operation=operation)


def text_part(name: str, value: bytes, *, more: bytes = b"") -> bytes:
    """Return one part of a form, without delimiters."""
    return b'Content-Disposition: form-data; name="' + name.encode() + b'"\r\n' + more + b"\r\n" + value


def file_part(content: bytes = b"RIFF\x00\xff") -> bytes:
    """Return the part that holds the recording."""
    return (
        b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        + content
    )


MODEL = text_part("model", b"gpt")


def form(*parts: bytes, boundary: str = BOUNDARY, end: bytes = b"--\r\n") -> bytes:
    """Return the form of `parts`."""
    line = b"--" + boundary.encode()
    return b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + end


def _form(id_: str, *parts: bytes, content_type: str = FORM, status: int = 400) -> Hostile:
    return _raw(id_, form(*parts), operation=TRANSCRIPTIONS, content_type=content_type, status=status)


def _form_raw(id_: str, body: bytes, *, content_type: str = FORM) -> Hostile:
    return _raw(id_, body, operation=TRANSCRIPTIONS, content_type=content_type)


_PLAIN = b'{"model":"gpt","messages":[{"role":"user","content":"hello"}]}'
_MESSAGES = b'"messages":[{"role":"user","content":"hello"}]'
_WHOLE = form(MODEL, file_part())

READ_IN_TWO_WAYS = (
    _raw("the model is named twice", b'{"model":"gpt",' + _MESSAGES + b',"model":"secret"}'),
    _raw("the model is named twice, alike", b'{"model":"gpt",' + _MESSAGES + b',"model":"gpt"}'),
    _raw(
        "the model is named twice, once escaped", b'{"model":"gpt","\\u006dodel":"secret",' + _MESSAGES + b"}"
    ),
    _raw("stream is said twice", b'{"model":"gpt","stream":false,"stream":true,' + _MESSAGES + b"}"),
    _raw(
        "a message says its role twice",
        b'{"model":"gpt","messages":[{"role":"user","role":"system","content":"x"}]}',
    ),
    _raw(
        "a tool says its type twice",
        b'{"model":"gpt",' + _MESSAGES + b',"tools":[{"type":"function","type":"mcp"}]}',
    ),
    _raw(
        "a name comes twice where nobody looks",
        b'{"model":"gpt",' + _MESSAGES + b',"metadata":{"a":"1","a":"2"}}',
    ),
    _raw(
        "CVE-2017-12635: the second name hides behind a nested one",
        b'{"model":"gpt","metadata":{},"model":"secret","metadata":{},' + _MESSAGES + b"}",
    ),
    _raw("a second Model in capitals", b'{"model":"gpt","Model":"secret",' + _MESSAGES + b"}"),
    _raw("MODEL in capitals only", b'{"MODEL":"gpt",' + _MESSAGES + b"}"),
    _raw("a second model with a blank before it", b'{"model":"gpt"," model":"secret",' + _MESSAGES + b"}"),
    _raw("a second model with a tab behind it", b'{"model":"gpt","model\\t":"secret",' + _MESSAGES + b"}"),
    _raw(
        "a second model with a NUL behind it", b'{"model":"gpt","model\\u0000":"secret",' + _MESSAGES + b"}"
    ),
    _raw(
        "a second model in full-width letters",
        '{"model":"gpt","ｍodel":"secret",'.encode() + _MESSAGES + b"}",
    ),
    _raw(
        "a second model with a zero-width space",
        '{"model":"gpt","mo\u200bdel":"secret",'.encode() + _MESSAGES + b"}",
    ),
    _raw(
        "a second model with a byte order mark in its name",
        '{"model":"gpt","\ufeffmodel":"secret",'.encode() + _MESSAGES + b"}",
    ),
    _raw("messages with a long s", '{"model":"gpt","meſſages":[],'.encode() + _MESSAGES + b"}"),
    _raw(
        "Stream in capitals beside stream", b'{"model":"gpt","stream":false,"Stream":true,' + _MESSAGES + b"}"
    ),
    _raw("Messages in capitals", b'{"model":"gpt","Messages":[]}'),
    _raw("a byte order mark", b"\xef\xbb\xbf" + _PLAIN),
    _raw("UTF-16 with a mark", _PLAIN.decode().encode("utf-16")),
    _raw("UTF-16 without a mark", _PLAIN.decode().encode("utf-16-le")),
    _raw("UTF-32", _PLAIN.decode().encode("utf-32")),
    _raw("Latin-1 in the text", _PLAIN.replace(b"hello", b"h\xe9llo")),
    _raw("an overlong encoding", _PLAIN.replace(b"hello", b"h\xc1\xa5llo")),
    _raw("half a surrogate pair, escaped", _PLAIN.replace(b"hello", b"\\ud800")),
    _raw("half a surrogate pair, encoded", _PLAIN.replace(b"hello", b"\xed\xa0\x80")),
    _raw("NaN", b'{"model":"gpt","temperature":NaN,' + _MESSAGES + b"}"),
    _raw("Infinity", b'{"model":"gpt","temperature":-Infinity,' + _MESSAGES + b"}"),
    _raw("a number that overflows", b'{"model":"gpt","temperature":1e999,' + _MESSAGES + b"}"),
    _raw("an integer without end", b'{"model":"gpt","seed":' + b"9" * 5000 + b"," + _MESSAGES + b"}"),
    _raw("a second document behind the first", _PLAIN + b'{"model":"secret"}'),
    _raw("a second line with another document", _PLAIN + b"\n" + _PLAIN.replace(b"gpt", b"secret")),
    _raw("a NUL behind the document", _PLAIN + b"\x00"),
    _raw("a comment", b'{"model":"gpt",/*"model":"secret",*/' + _MESSAGES + b"}"),
    _raw("a trailing comma", b'{"model":"gpt",' + _MESSAGES + b",}"),
    _raw("single quotes", b"{'model':'gpt'}"),
    _raw("a list around the document", b"[" + _PLAIN + b"]"),
    _raw("a text that holds the document", json.dumps(_PLAIN.decode()).encode()),
    _raw("null", b"null"),
    _raw("only blanks", b"   "),
    _raw("half a document", _PLAIN[:-10]),
    _raw("a hundred thousand lists", b'{"model":"gpt","metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    _raw("a hundred thousand objects, never closed", b'{"a":' * 100_000),
    _raw(
        "a schema nested beyond reason",
        b'{"model":"gpt",' + _MESSAGES + b',"response_format":' + b'{"a":' * 200 + b"1" + b"}" * 201,
    ),
    _raw("five thousand members", json.dumps({"model": "gpt", **{f"a{n}": n for n in range(5000)}}).encode()),
)

OTHER_CARRIERS = (
    _raw(
        "a charset that is not UTF-8",
        _PLAIN.decode().encode("utf-16"),
        content_type="application/json; charset=utf-16",
    ),
    _raw("UTF-7, which hides quotes", _PLAIN, content_type="application/json; charset=utf-7"),
    _raw("Latin-1 by name", _PLAIN, content_type="application/json; charset=iso-8859-1"),
    _raw(
        "a form with fields",
        b"model=gpt&messages=hello",
        content_type="application/x-www-form-urlencoded",
        status=415,
    ),
    _raw("plain text", _PLAIN, content_type="text/plain", status=415),
    _raw("JSON of another name", _PLAIN, content_type="application/json-patch+json", status=415),
    _raw("lines of JSON", _PLAIN, content_type="application/x-ndjson", status=415),
    _raw("two media types", _PLAIN, content_type="application/json, text/plain", status=415),
    _raw("no media type", _PLAIN, content_type="", status=415),
    _raw("a form where JSON is taken", form(MODEL), content_type=FORM, status=415),
    _raw("JSON where a form is taken", b'{"model":"gpt"}', operation=TRANSCRIPTIONS, status=415),
    _raw(
        "another kind of multipart",
        _WHOLE,
        operation=TRANSCRIPTIONS,
        content_type=FORM.replace("form-data", "mixed"),
        status=415,
    ),
    Hostile(
        id="gzip",
        operation=CHAT,
        body=gzip.compress(_PLAIN, mtime=0),
        status=415,
        headers=(("content-encoding", "gzip"),),
    ),
    Hostile(
        id="an encoding that it does not have",
        operation=CHAT,
        body=_PLAIN,
        status=415,
        headers=(("content-encoding", "br"),),
    ),
)

NAMED_ELSEWHERE = (
    _chat("no text as the model", model=["gpt", "secret"]),
    _chat("an object as the model", model={"id": "gpt"}),
    _chat("null as the model", model=None),
    _raw("no model at all", b"{" + _MESSAGES + b"}"),
    _chat("a deployment beside the model", deployment="secret"),
    _chat("a deployment_id beside the model", deployment_id="secret"),
    _chat("an engine beside the model", engine="secret"),
    _chat("models to fall back on", models=["gpt", "secret"]),
    _chat("LiteLLM 39998: fallbacks", fallbacks=[{"model": "secret"}]),
    _chat("another address", api_base="https://evil.example"),
    _chat("another base_url", base_url="https://evil.example"),
    _chat("a key", api_key="sk-secret"),
    _chat("fields beside the fields", extra_body={"model": "secret"}),
    _chat("a model that moderates", moderation={"model": "secret"}),
    _respond("a model that moderates a response", moderation={"model": "secret"}),
    _chat("an adapter", lora=[{"id": 0, "scale": 1.0}]),
    _other("a model that draws", "images/generations", prompt="a cat", svg={"model": "secret"}),
    _other("a model in an embedding's engine", "embeddings", input="x", engine="secret"),
    _form("the model twice in a form", MODEL, text_part("model", b"secret"), file_part()),
    _form("the model as a list in a form", text_part("model[]", b"gpt"), file_part()),
    _form("Model beside model in a form", MODEL, text_part("Model", b"secret"), file_part()),
    _form("a deployment in a form", MODEL, text_part("deployment", b"secret"), file_part()),
    _form(
        "the model as a file",
        b'Content-Disposition: form-data; name="model"; filename="m"\r\n\r\ngpt',
        file_part(),
    ),
)

ACTS_ELSEWHERE = (
    _chat(
        "data sources read with the gate's identity",
        data_sources=[
            {
                "type": "azure_search",
                "parameters": {"authentication": {"type": "system_assigned_managed_identity"}},
            }
        ],
    ),
    _chat("data sources in their older name", dataSources=[{"type": "AzureCognitiveSearch"}]),
    _chat("a search of the web", web_search_options={}),
    _chat("a chat that is stored", store=True),
    _chat("store that is no flag", store="true"),
    _chat(
        "a server of the caller's choice",
        tools=[{"type": "mcp", "server_label": "x", "server_url": "https://evil.example"}],
    ),
    _chat("a tool without a type", tools=[{"function": {"name": "f"}}]),
    _chat(
        "a tool whose Type is written otherwise",
        tools=[{"type": "function", "Type": "mcp", "server_url": "https://evil.example"}],
    ),
    _chat("a tool that is a text", tools=["web_search"]),
    _chat("tools that are an object", tools={"type": "mcp"}),
    _chat("a choice of a tool of the service", tool_choice={"type": "web_search"}),
    _chat("a choice of a tool by its bare name", tool_choice="code_interpreter"),
    _chat(
        "a tool of the service among the allowed ones",
        tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "mcp"}]}},
    ),
    _part("an image of the network", type="image_url", image_url={"url": "https://evil.example/x.png"}),
    _part("an image of the network, as a text", type="image_url", image_url="https://evil.example/x.png"),
    _part(
        "an image of the instance metadata service",
        type="image_url",
        image_url={"url": "http://169.254.169.254/metadata/identity/oauth2/token"},
    ),
    _part("an image that is a file of the server", type="image_url", image_url={"url": "file:///etc/passwd"}),
    _part("an image in capitals of DATA", type="image_url", image_url={"url": "DATA:image/png;base64,AAAA"}),
    _part(
        "an image with a blank before its address",
        type="image_url",
        image_url={"url": " https://evil.example/"},
    ),
    _part(
        "a drawing that refers elsewhere",
        type="image_url",
        image_url={"url": "data:image/svg+xml;base64,PHN2Zz4="},
    ),
    _part(
        "an image with a second address in capitals",
        type="image_url",
        image_url={"url": PIXEL, "URL": "https://evil.example/"},
    ),
    _part(
        "a second image_url in capitals",
        type="image_url",
        image_url={"url": PIXEL},
        Image_URL={"url": "https://evil.example/"},
    ),
    _part(
        "an image_url in a part of text", type="text", text="x", image_url={"url": "https://evil.example/"}
    ),
    _part(
        "an image whose address is a list",
        type="image_url",
        image_url={"url": [PIXEL, "https://evil.example/"]},
    ),
    _part(
        "a recording of the network in a chat",
        type="input_audio",
        input_audio={"url": "https://evil.example/a.wav", "format": "wav"},
    ),
    _part(
        "a recording whose content is an address",
        type="input_audio",
        input_audio={"data": "https://evil.example/a.wav", "format": "wav"},
    ),
    _part("a video of the network", type="video_url", video_url={"url": "https://evil.example/v.mp4"}),
    _part("somebody's file", type="file", file={"file_id": "file-123"}),
    _part(
        "a file whose content is an address", type="file", file={"file_data": "https://evil.example/a.pdf"}
    ),
    _part("a part of an unknown type", type="web_page", url="https://evil.example/"),
    _part("a part without a type", text="x"),
    _chat(
        "content that is an object",
        messages=[{"role": "user", "content": {"type": "image_url", "image_url": "https://evil.example/"}}],
    ),
    _chat("messages that are an object", messages={"role": "user", "content": "x"}),
    _chat("a message that is a text", messages=["hello"]),
    _chat(
        "a message with a second Content",
        messages=[{"role": "user", "content": "x", "Content": [{"type": "image_url"}]}],
    ),
    _chat("somebody's audio answer", messages=[{"role": "assistant", "audio": {"id": "audio_123"}}]),
    _chat(
        "a tool call that is none",
        messages=[{"role": "assistant", "tool_calls": [{"id": "1", "type": "mcp"}]}],
    ),
    _chat("somebody's voice", modalities=["audio"], audio={"format": "wav", "voice": {"id": "voice_1234"}}),
    _other("somebody's voice that speaks", SPEECH, input="x", voice={"id": "voice_1234"}),
    _chat(
        "an image in a prediction",
        prediction={
            "type": "content",
            "content": [{"type": "image_url", "image_url": "https://evil.example/"}],
        },
    ),
    _respond("a search of files", tools=[{"type": "file_search", "vector_store_ids": ["vs_1"]}]),
    _respond("a search of the web by a response", tools=[{"type": "web_search"}]),
    _respond(
        "an interpreter in somebody's container", tools=[{"type": "code_interpreter", "container": "cntr_1"}]
    ),
    _respond("a tool that draws with another model", tools=[{"type": "image_generation", "model": "secret"}]),
    _respond("a computer", tools=[{"type": "computer_use_preview", "environment": "linux"}]),
    _respond(
        "a connector to a mailbox",
        tools=[{"type": "mcp", "server_label": "x", "connector_id": "connector_gmail"}],
    ),
    _respond("a choice of a server", tool_choice={"type": "mcp", "server_label": "x"}),
    _respond("a response in the background", background=True),
    _respond("somebody's conversation", conversation="conv_1"),
    _respond("somebody's conversation, as an object", conversation={"id": "conv_1"}),
    _respond("a stored prompt", prompt={"id": "pmpt_1"}),
    _respond("an access program", access_programs={"cyber": "daybreak_red"}),
    _respond("files at the top", file_ids=["file-123"]),
    _respond("vector stores at the top", vector_store_ids=["vs_1"]),
    _input(
        "an image of the network in a response",
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://evil.example/"}]},
    ),
    _input("somebody's image", {"role": "user", "content": [{"type": "input_image", "file_id": "file-123"}]}),
    _input(
        "a file of the network",
        {"role": "user", "content": [{"type": "input_file", "file_url": "https://evil.example/a.pdf"}]},
    ),
    _input(
        "somebody's file in a response",
        {"role": "user", "content": [{"type": "input_file", "file_id": "file-123"}]},
    ),
    _input(
        "an image of the network in a function's output",
        {
            "type": "function_call_output",
            "call_id": "1",
            "output": [{"type": "input_image", "image_url": "https://evil.example/"}],
        },
    ),
    _input("a reference to an item", {"type": "item_reference", "id": "msg_1"}),
    _input("a reference to an item without its type", {"id": "msg_1"}),
    _input("a reference to an item with null as its type", {"id": "msg_1", "type": None}),
    _input(
        "an approval for a server",
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    ),
    _input(
        "tools inside the input",
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [{"type": "mcp", "server_url": "https://evil.example"}],
        },
    ),
    _input("a message that is only a role and an id", {"id": "msg_1", "role": "user"}),
    _input("a message whose content is null", {"id": "msg_1", "role": "user", "content": None}),
    _input("a message of that type without content", {"type": "message", "id": "msg_1", "role": "user"}),
    _input("a message without a role", {"type": "message", "id": "msg_1", "content": "x"}),
    *(
        _input(f"only the id of a {kind}", {"type": kind, "id": "it_1"})
        for kind in (
            "function_call",
            "function_call_output",
            "custom_tool_call",
            "custom_tool_call_output",
            "additional_tools",
            "image_generation_call",
            "web_search_call",
            "code_interpreter_call",
            "file_search_call",
            "mcp_call",
            "shell_call_output",
        )
    ),
    _input(
        "a call whose arguments are an object",
        {"type": "function_call", "id": "fc_1", "call_id": "1", "name": "f", "arguments": {"a": 1}},
    ),
    _input(
        "more references than anybody needs",
        *({"type": "reasoning", "id": f"rs_{n}", "summary": []} for n in range(129)),
    ),
    _respond(
        "somebody's skill in a shell",
        tools=[
            {
                "type": "shell",
                "environment": {
                    "type": "container_auto",
                    "skills": [{"type": "skill_reference", "skill_id": "skill_1"}],
                },
            }
        ],
    ),
    _respond("a namespace of tools that is an object", tools=[{"type": "namespace", "tools": {"0": {}}}]),
    _respond("a model in how to reason", reasoning={"effort": "low", "model": "secret"}),
    _respond("a conversation in how to reason", reasoning={"conversation": "conv_1"}),
    _respond("an address in the form of the answer", text={"format": {"type": "text", "api_base": "evil"}}),
    _respond("a response in how to keep the context", context_management=[{"response_id": "resp_1"}]),
    _chat("a model in the form of the answer", response_format={"type": "text", "Model": "secret"}),
    _chat("a key in an old function", functions=[{"name": "f", "parameters": {}, "api_key": "sk-secret"}]),
    _chat("a server in a function", tools=[{"type": "function", "function": {"server_url": "evil"}}]),
    _chat("an object among the tags", metadata={"a": {"model": "secret"}}),
    _chat("data sources where to stop", stop=[{"data_sources": []}]),
    _chat("a model in a template", chat_template_kwargs={"model": "secret"}),
    _chat("a server in how to think", thinking={"type": "enabled", "server_url": "https://evil.example"}),
    _chat("an address for security", user_security_context={"endpoint": "https://evil.example"}),
    _chat(
        "an address in a call",
        messages=[{"role": "assistant", "function_call": {"name": "f", "url": "https://evil.example"}}],
    ),
    _input("an item of an unknown type", {"type": "shell", "command": "id"}),
    _input(
        "a message whose Type is written otherwise",
        {"role": "user", "content": "x", "Type": "item_reference", "id": "msg_1"},
    ),
    _respond("input that is an object", input={"type": "item_reference", "id": "msg_1"}),
    _other(
        "an embedding of an image of the network", "embeddings", input=[{"image": "https://evil.example/"}]
    ),
    _other("an embedding of what is no token", "embeddings", input=[[1, -1]]),
    _other(
        "a completion of an object", "completions", prompt={"prompt_string": "x", "multimodal_data": ["x"]}
    ),
    _other("an image made of an image", "images/generations", prompt="a cat", image="https://evil.example/"),
    _other("a recording of what is no text", SPEECH, input=["x"], voice="alloy"),
    _form(
        "a speaker of the network",
        MODEL,
        text_part("known_speaker_references[]", b"https://evil.example/a.wav"),
        file_part(),
    ),
    _form("a recording of the network", MODEL, text_part("file", b"https://evil.example/a.wav")),
    _form(
        "a field that no transcription has",
        MODEL,
        text_part("url", b"https://evil.example/a.wav"),
        file_part(),
    ),
)

NOT_OWN = (
    _respond("somebody's response", previous_response_id="resp_1", status=404),
    _respond(
        "somebody's response to compare with",
        prompt_cache_options={"comparison_response_id": "resp_1"},
        status=404,
    ),
    _input(
        "somebody's message, as one without content",
        {"type": "message", "id": "msg_1", "role": "assistant", "content": []},
        status=404,
    ),
    _input(
        "somebody's message, as one with an empty text",
        {"role": "assistant", "id": "msg_1", "content": ""},
        status=404,
    ),
    _input(
        "somebody's function output",
        {"type": "function_call_output", "call_id": "1", "id": "fco_1", "output": []},
        status=404,
    ),
    _input("somebody's compacted conversation", {"type": "compaction", "id": "cmp_1"}, status=404),
    _input("somebody's reasoning", {"type": "reasoning", "id": "rs_1", "summary": []}, status=404),
    _input(
        "somebody's reasoning with an empty content",
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": ""},
        status=404,
    ),
)

OUT_OF_BOUNDS = (
    _chat("a negative bound", max_tokens=-1),
    _chat("a bound that is a flag", max_tokens=True),
    _chat("a bound that is a text", max_completion_tokens="100"),
    _chat("a bound with a fraction", max_completion_tokens=1.5),
    _chat("a bound without reason", max_tokens=10**18),
    _chat("answers without number", n=10**6),
    _chat("no answers", n=0),
    _respond("a negative bound of a response", max_output_tokens=-5),
    _other("the best of very many", "completions", prompt="x", best_of=10**9),
    _chat("stream that is a text", stream="true"),
    _chat("stream that is a number", stream=1),
    _chat("options of a stream that are a text", stream_options="include_usage"),
    _chat("usage asked for by a text", stream=True, stream_options={"include_usage": "yes"}),
    _chat("usage asked for in capitals", stream=True, stream_options={"Include_Usage": True}),
    _chat("a bound of another server's name", n_predict=10**9),
    _chat("no bound, as another server says it", n_predict=-1),
)

FORMS = (
    _form_raw("text before the first part", b"ignored\r\n" + _WHOLE),
    _form_raw("an empty line before the first part", b"\r\n" + _WHOLE),
    _form_raw("text behind the last part", _WHOLE + form(text_part("model", b"secret"))),
    _form_raw("an empty line behind the last part", _WHOLE + b"\r\n"),
    _form_raw("no end", _WHOLE[: -len(BOUNDARY) - 6]),
    _form_raw("an end without its dashes", form(MODEL, file_part(), end=b"\r\n")),
    _form_raw("bare line feeds", _WHOLE.replace(b"\r\n", b"\n")),
    _form_raw("a bare line feed before a delimiter", _WHOLE.replace(b"gpt\r\n", b"gpt\n")),
    _form_raw(
        "a bare line feed behind a delimiter",
        _WHOLE.replace(BOUNDARY.encode() + b"\r\n", BOUNDARY.encode() + b"\n", 1),
    ),
    _form_raw(
        "a blank behind a delimiter",
        _WHOLE.replace(BOUNDARY.encode() + b"\r\n", BOUNDARY.encode() + b" \r\n", 1),
    ),
    _form(
        "a delimiter inside the file",
        MODEL,
        file_part(b"\n--" + BOUNDARY.encode() + b"\n" + text_part("model", b"secret")),
    ),
    _form("a longer delimiter inside the file", MODEL, file_part(b"\r\n--" + BOUNDARY.encode() + b"x\r\n")),
    _form("a delimiter in the middle of a line", MODEL, file_part(b"x--" + BOUNDARY.encode() + b"\r\n")),
    _form("a part without headers", MODEL, b"\r\nsecret", file_part()),
    _form("a part without a name", b"Content-Disposition: form-data\r\n\r\nsecret", MODEL, file_part()),
    _form("a part without a disposition", b"Content-Type: text/plain\r\n\r\nsecret", MODEL, file_part()),
    _form("an attachment", b'Content-Disposition: attachment; name="model"\r\n\r\ngpt', file_part()),
    _form("a name without quotes", b"Content-Disposition: form-data; name=model\r\n\r\ngpt", file_part()),
    _form(
        "two names in one part",
        b'Content-Disposition: form-data; name="model"; name="user"\r\n\r\ngpt',
        file_part(),
    ),
    _form(
        "name* beside name",
        b"Content-Disposition: form-data; name=\"model\"; name*=utf-8''user\r\n\r\ngpt",
        file_part(),
    ),
    _form(
        "filename* beside filename",
        MODEL,
        b'Content-Disposition: form-data; name="file"; filename="a"; filename*=utf-8\'\'b\r\n\r\nx',
    ),
    _form(
        "an escaped quote in a name",
        b'Content-Disposition: form-data; name="mod\\"el"\r\n\r\ngpt',
        file_part(),
    ),
    _form(
        "a backslash in a file's name",
        MODEL,
        b'Content-Disposition: form-data; name="file"; filename="a\\"\r\n\r\nx',
    ),
    _form(
        "a semicolon in a file's name",
        MODEL,
        b'Content-Disposition: form-data; name="file"; filename="a; name=model"\r\n\r\nx',
    ),
    _form(
        "a percent sign in a name", b'Content-Disposition: form-data; name="mod%65l"\r\n\r\ngpt', file_part()
    ),
    _form("a folded header", b'Content-Disposition: form-data;\r\n name="model"\r\n\r\ngpt', file_part()),
    _form(
        "a disposition twice",
        text_part("user", b"gpt", more=b'Content-Disposition: form-data; name="model"\r\n'),
        file_part(),
    ),
    _form(
        "a transfer encoding",
        text_part("model", b"Z3B0", more=b"Content-Transfer-Encoding: base64\r\n"),
        file_part(),
    ),
    _form("an unknown header", text_part("model", b"gpt", more=b"X-Model: secret\r\n"), file_part()),
    _form(
        "a header with a blank before its colon",
        b'Content-Disposition : form-data; name="model"\r\n\r\ngpt',
        file_part(),
    ),
    _form(
        "a text in another charset",
        text_part("model", b"gpt", more=b"Content-Type: text/plain; charset=utf-7\r\n"),
        file_part(),
    ),
    _form(
        "a text that is JSON",
        text_part("model", b'"gpt"', more=b"Content-Type: application/json\r\n"),
        file_part(),
    ),
    _form(
        "a form inside the form",
        MODEL,
        b'Content-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: multipart/mixed\r\n\r\nx',
    ),
    _form("a text that is not UTF-8", MODEL, text_part("prompt", b"\xff"), file_part()),
    _form("a charset by its old field", text_part("_charset_", b"utf-16"), MODEL, file_part()),
    _form(
        "one name as a text and as a list",
        MODEL,
        text_part("include", b"logprobs"),
        text_part("include[]", b"logprobs"),
        file_part(),
    ),
    _form(
        "a key twice",
        MODEL,
        text_part("chunking_strategy[type]", b"a"),
        text_part("chunking_strategy[type]", b"b"),
        file_part(),
    ),
    _form("very many parts", MODEL, *(text_part("include[]", b"x") for _ in range(100)), file_part()),
    _form(
        "a head without end",
        MODEL,
        text_part("prompt", b"x", more=b"Content-Type: " + b" " * 5000 + b"text/plain\r\n"),
        file_part(),
    ),
    _form("two files", MODEL, file_part(), file_part()),
    _form("files as a list", MODEL, file_part().replace(b'"file"', b'"file[]"')),
    _form("stream in capitals", MODEL, text_part("stream", b"True"), file_part()),
    _form("a form in another charset", MODEL, file_part(), content_type=f"{FORM}; charset=utf-16"),
    _form_raw("no boundary declared", _WHOLE, content_type="multipart/form-data"),
    _form_raw("two boundaries declared", _WHOLE, content_type=f"{FORM}; boundary=other"),
    _form_raw("no parts", b"--" + BOUNDARY.encode() + b"--\r\n"),
    _form_raw("another boundary than the declared one", form(MODEL, file_part(), boundary="other")),
)

HOSTILE = (
    *READ_IN_TWO_WAYS,
    *OTHER_CARRIERS,
    *NAMED_ELSEWHERE,
    *ACTS_ELSEWHERE,
    *NOT_OWN,
    *OUT_OF_BOUNDS,
    *FORMS,
)
