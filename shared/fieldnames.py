"""What requests of models may hold, by name (threat T09): closed tables that the policy and the backends share.

Plain is what only shapes the answer: what the public clients send (openai 3, azure-ai-inference, langchain-openai) and
the usual sampling fields of Foundry's other models and of llama.cpp. What makes the gate's identity act or read
elsewhere, or refers to what was stored before, is taken only where the policy names it. What names a model, an address
or a credential is never taken: the policy alone says these.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


def words(text: str) -> frozenset[str]:
    """Return the names in `text`, which blanks part."""
    return frozenset(text.split())


_EVERYWHERE: Final = frozenset({"model", "user"})
_STREAMED: Final = frozenset({"stream", "stream_options"})
_SAMPLING: Final = words(
    "cache_prompt frequency_penalty ignore_eos length_penalty logit_bias logprobs max_tokens min_p min_tokens mirostat "
    "mirostat_eta mirostat_tau n n_predict presence_penalty random_seed repeat_last_n repeat_penalty repetition_penalty "
    "safe_prompt seed stop temperature top_k top_logprobs top_p typical_p"
)
_SHARED_BY_CHAT_AND_RESPONSES: Final = words(
    "metadata parallel_tool_calls prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier "
    "service_tier store tool_choice tools"
)

PLAIN: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "chat/completions": _EVERYWHERE
        | _STREAMED
        | _SAMPLING
        | _SHARED_BY_CHAT_AND_RESPONSES
        | words(
            "audio chat_template_kwargs enable_thinking function_call functions max_completion_tokens messages "
            "modalities prediction reasoning reasoning_effort reasoning_format response_format safe_mode thinking "
            "user_security_context verbosity"
        ),
        "completions": _EVERYWHERE | _STREAMED | _SAMPLING | words("best_of echo prompt suffix"),
        "embeddings": _EVERYWHERE | words("dimensions encoding_format input input_type"),
        "responses": _EVERYWHERE
        | _STREAMED
        | _SHARED_BY_CHAT_AND_RESPONSES
        | words(
            "background context_management conversation image include input instructions max_output_tokens "
            "max_tool_calls previous_response_id prompt reasoning temperature text top_logprobs top_p "
            "truncation"
        ),
        "images/generations": _EVERYWHERE
        | words(
            "background complexity frame_count frame_duration_ms moderation n output_compression output_format "
            "partial_images prompt quality response_format safety_identifier size stream style"
        ),
        "audio/speech": _EVERYWHERE | words("input instructions response_format speed stream_format voice"),
        "audio/transcriptions": words(
            "chunking_strategy file include keywords known_speaker_names known_speaker_references language languages "
            "model prompt response_format stream temperature timestamp_granularities"
        ),
    }
)
"""Top-level fields of each operation that need no word in the policy; values of some are looked into (backends/fields.py)."""

TOOLS: Final = frozenset({"function", "custom"})
"""Tools that the caller runs itself. All others run at the model's side: the policy names them as `tools.TYPE`."""

REFERENCES: Final = words(
    "audio_id audio_url connector_id container_id file_id file_url image_url item_reference server_url skill_id tunnel_id "
    "video_url voice_id"
)
"""Ways to refer, from inside a request, to what is elsewhere or was made before. None is a field at the top."""

REFUSED: Final = REFERENCES | words(
    "access_programs background background_options conversation data_sources file_ids prompt store tools.apply_patch "
    "tools.code_interpreter tools.computer tools.computer_use tools.computer_use_preview tools.file_search "
    "tools.image_generation tools.local_shell tools.mcp tools.namespace tools.programmatic_tool_calling tools.shell "
    "tools.tool_search tools.web_search tools.web_search_2025_08_26 tools.web_search_preview "
    "tools.web_search_preview_2025_03_11 vector_store_ids web_search_options"
)
"""What is refused until the policy's `fields` names it: a field, a way to refer, or a tool as `tools.TYPE`."""

MODEL_NAMES: Final = words(
    "adapter_id adapters deployment deployment_id deployment_name deployments draft_model engine engine_id engines "
    "fallback fallbacks lora model model_group model_id model_list model_name models"
)
"""Fields by which one server or another lets a request name a model (threat T06)."""

FORBIDDEN: Final = MODEL_NAMES | words(
    "api_base api_key api_type api_version authorization azure_ad_token azure_endpoint base_url "
    "custom_llm_provider endpoint endpoints extra_body extra_headers extra_query headers moderation organization "
    "provider providers route router svg url"
)
"""What a policy cannot let in. `moderation` of chats and responses and `svg` of images each name a further model."""

KNOWN: Final = frozenset().union(*PLAIN.values(), REFUSED, FORBIDDEN)
"""Every name that the gate itself has a word for."""

_FIELD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TOOL: Final = re.compile(r"tools\.[a-z][a-z0-9_]{0,57}")


def nameable(field: str) -> str | None:
    """Check an entry of a policy's `fields`; return what is wrong with it, None when it may stand there."""
    if field in FORBIDDEN:
        return "names a model, an address or a credential, which only the policy does: it cannot be let in"
    if field.removeprefix("tools.") in TOOLS and field.startswith("tools."):
        return "is taken without being named"
    if field.startswith("tools."):
        return (
            None if _TOOL.fullmatch(field) else "must be tools. and a tool's type, such as tools.web_search"
        )
    if is_field(field):
        return None
    return "must be a field's name: a small letter, then up to 63 small letters, digits or underscores"


def is_field(name: str) -> bool:
    """Say whether `name` is written as fields are."""
    return _FIELD.fullmatch(name) is not None


def folded(name: str) -> str:
    """Return a field's name as the most forgiving reader takes it."""
    return unicodedata.normalize("NFKC", name).casefold().strip()
