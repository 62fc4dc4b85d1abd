"""The Hub's errors, each as one sentence with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.format.manifest import MANIFEST


class HubUnreachable(RnnzooError):
    """The Hub did not answer, or could not do what it was asked for.

    Attributes:
        reason: in a few words.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@contextmanager
def clear_errors(name: str, revision: str | None) -> Iterator[None]:
    """Turn the Hub's errors into one sentence each.

    Raises:
        UsageError: there is no such repository, revision or file, or it may not be read.
        HubUnreachable: anything that may be otherwise later.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise UsageError(
            f"{name} on the Hub has no revision {revision!r}: give a branch, a tag or a whole commit hash of it."
        ) from error
    except errors.GatedRepoError as error:
        raise UsageError(f"{name} on the Hub asks for consent: accept its terms there, and log in here.") from error
    except errors.RepositoryNotFoundError as error:
        raise UsageError(
            f"There is no dataset {name!r} on the Hub (or it is private and you are not logged in: `hf auth login`), "
            "and no folder of that name here."
        ) from error
    except errors.HFValidationError as error:
        raise UsageError(f"{name!r} is no name that the Hub allows ({_first_line(error)}).") from error
    except errors.EntryNotFoundError as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise _unreachable(name, error) from error
        raise no_zoo(name, "a file that its manifest lists") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise unexpected_answer(name, _first_line(error)) from error
    except of_the_network() as error:
        if _status(error) in (401, 403):
            raise UsageError(
                f"The Hub does not let the token that is here read {name}: log in with `hf auth login`, or set "
                "HF_TOKEN to a token that may read it; for a public dataset, unset it."
            ) from error
        raise _unreachable(name, error) from error


def of_the_network() -> tuple[type[Exception], ...]:
    """Which library's errors are passed on when the network fails differs between versions of huggingface_hub."""
    from huggingface_hub import errors

    return *errors.HfHubHTTPError.__bases__, OSError


def no_zoo(name: str, missing: str) -> UsageError:
    """The error of a repository that lacks a file."""
    return UsageError(
        f"{name} on the Hub is no whole zoo of rnnzoo: {missing} is missing there. Check the name and the revision; "
        f"a zoo has a {MANIFEST} and what that lists."
    )


def unexpected_answer(name: str, why: str) -> RnnzooError:
    """The error of an answer that no Hub gives."""
    reason = f"what answered is no Hub: {why}"
    return HubUnreachable(
        f"{name} could not be fetched ({reason}). Try again later; if that does not help, look at HF_ENDPOINT and at "
        "proxies.",
        reason,
    )


def reason(error: RnnzooError) -> str:
    """Why something failed, to be told within a sentence."""
    return error.reason if isinstance(error, HubUnreachable) else str(error).rstrip(".")


def _unreachable(name: str, error: Exception) -> RnnzooError:
    from huggingface_hub import constants

    reason = _why(error)
    remedy = "Unset it" if constants.HF_HUB_OFFLINE else "Connect to the network, or try again later"
    return HubUnreachable(
        f"{name} could not be fetched from the Hub ({reason}). {remedy}, or name the folder of a zoo that is here. "
        "What was fetched whole before is kept.",
        reason,
    )


def _why(error: Exception) -> str:
    """Why the Hub could not be used, in a few words."""
    from huggingface_hub import constants

    return "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _first_line(error)


def _status(error: BaseException) -> int | None:
    """The status code of an answer that led to an error."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _first_line(error: BaseException) -> str:
    # huggingface_hub's own text may only say "due to the above error", which is its cause.
    error = error.__cause__ or error
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


@contextmanager
def clear_push_errors(repository: str, reached: str = "nothing of it is half published") -> Iterator[None]:
    """Turn the Hub's errors while a zoo is published into one sentence each.

    Args:
        repository: the one that is pushed to.
        reached: what holds at this point, for errors after which the same command is to be given again.
    """
    from huggingface_hub import constants, errors

    namespace = repository.partition("/")[0]
    # What the Hub answers may be no answer at all, and uploads wrap their errors in a RuntimeError.
    failures: tuple[type[Exception], ...] = (*of_the_network(), RuntimeError, ValueError, LookupError)
    try:
        yield
    except failures as error:
        status = _status(error)
        if status == 401 and not isinstance(error, errors.RepositoryNotFoundError):
            raise UsageError(
                f"The Hub does not know the token that is here: log in with `hf auth login`, or set HF_TOKEN to a "
                f"token with the right to write to {namespace}."
            ) from error
        if isinstance(error, errors.RepositoryNotFoundError) or status == 403:
            raise UsageError(
                f"The token that is here may not write to {repository} on the Hub, or the repository is another's: "
                f"use a token with the right to write to {namespace}, or give another name."
            ) from error
        if status in (409, 412):
            raise RnnzooError(
                f"Somebody else changed {repository} on the Hub while this zoo was uploaded, and what they did was "
                "kept: look at what is there now, and push again."
            ) from error
        raise RnnzooError(
            f"{repository} could not be published on the Hub ({_why(error)}); {reached}: "
            f"{'unset it, and ' if constants.HF_HUB_OFFLINE else ''}give the same command again, and what was uploaded "
            "is not uploaded again."
        ) from error
