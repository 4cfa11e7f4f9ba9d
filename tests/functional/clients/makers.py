"""Clients of the `openai` package, made from a gate's address and a token, and what most tests ask them."""

from typing import Any

import openai
from openai.types.chat import ChatCompletionMessageParam

from tests.functional.clients.around import ASSISTANT

VERSION = "2024-10-21"
STORY: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Tell me a story."}]
FEW: dict[str, Any] = {"max_tokens": 8, "seed": 7}
"""A short answer, and the same one each time."""


def openai_v1(url: str, token: str, **how: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/openai/v1", api_key=token, **how)


def azure(url: str, token: str, **how: Any) -> openai.OpenAI:
    return openai.AzureOpenAI(
        azure_endpoint=url, azure_ad_token_provider=lambda: token, api_version=VERSION, **how
    )


def azure_deployment(url: str, token: str, **how: Any) -> openai.OpenAI:
    """Give the client as it is made for one deployment, here named as in most tests."""
    base_url = f"{url}/openai/deployments/{ASSISTANT}"
    return openai.AzureOpenAI(
        base_url=base_url, azure_ad_token_provider=lambda: token, api_version=VERSION, **how
    )
