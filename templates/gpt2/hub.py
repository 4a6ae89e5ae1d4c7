"""Whether the Hugging Face hub can be asked for a model, found out within seconds and without loading transformers."""

from __future__ import annotations

import queue
import textwrap
import threading
from urllib.parse import quote

from runtime.settings import UserError

HUB_SECONDS = 4.0  # for the hub to answer at all; left alone, the libraries retry for the better part of a minute


class HubUnreachable(UserError):
    """The model is not on this machine, and the hub that has it can't be asked."""


def ask_hub(name: str, revision: str = "") -> None:
    """Raise HubUnreachable if the hub does not answer when asked for a model, which is not on this machine."""
    trouble = hub_trouble(name, revision)
    if trouble:
        raise HubUnreachable(f"the model {name} is not on this machine, and the hub can't be reached: {trouble}")


def hub_trouble(name: str, revision: str = "", seconds: float = HUB_SECONDS) -> str | None:
    """Why the hub can't be asked for a model, found out within `seconds`; None when it answers."""
    from huggingface_hub import constants, get_session

    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    url = f"{constants.ENDPOINT}/{name}/resolve/{quote(revision or 'main', safe='')}/config.json"
    answers: queue.Queue[str | None] = queue.Queue()

    def ask() -> None:
        try:
            status = get_session().head(url, timeout=seconds, follow_redirects=False).status_code
            answers.put(f"{constants.ENDPOINT} answered with error {status}" if status >= 500 else None)
        except Exception as error:  # whatever it is, it is the answer
            answers.put(f"{constants.ENDPOINT}: {in_short(error)}")

    # A thread, because nothing else bounds a name server that does not answer.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return f"{constants.ENDPOINT} did not answer within {seconds:g} seconds"


def in_short(error: Exception) -> str:
    """What an error says, in one line."""
    return textwrap.shorten(str(error), width=200, placeholder=" ...") or type(error).__name__
