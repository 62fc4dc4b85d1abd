"""The Hub's errors, each as one sentence with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.format.manifest import MANIFEST


@contextmanager
def clear_errors(name: str, revision: str | None) -> Iterator[None]:
    """Turn the Hub's errors into one sentence each."""
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
            f"There is no dataset {name!r} on the Hub (or it is private and you are not logged in), "
            "and no folder of that name here."
        ) from error
    except errors.HFValidationError as error:
        raise UsageError(f"{name!r} is no name that the Hub allows ({_first_line(error)}).") from error
    except errors.EntryNotFoundError as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise _unreachable(name, error) from error
        raise UsageError(
            f"{name} on the Hub is no whole zoo of rnnzoo: a file is missing there, {MANIFEST} or one that it lists. "
            "Check the name and the revision."
        ) from error
    except of_the_network() as error:
        raise _unreachable(name, error) from error


def of_the_network() -> tuple[type[Exception], ...]:
    """Which library's errors are passed on when the network fails differs between versions of huggingface_hub."""
    from huggingface_hub import errors

    return *errors.HfHubHTTPError.__bases__, OSError


def _unreachable(name: str, error: Exception) -> RnnzooError:
    from huggingface_hub import constants

    remedy = "Unset it" if constants.HF_HUB_OFFLINE else "Connect to the network"
    return RnnzooError(
        f"{name} could not be fetched from the Hub and no whole copy is cached ({reason(error)}). {remedy}, or name "
        "the folder of a zoo that is here."
    )


def reason(error: Exception) -> str:
    """Why the network failed, in a few words."""
    from huggingface_hub import constants

    return "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _first_line(error)


def _first_line(error: BaseException) -> str:
    # huggingface_hub's own text may only say "due to the above error", which is its cause.
    error = error.__cause__ or error
    return str(error).strip().partition("\n")[0] or type(error).__name__
