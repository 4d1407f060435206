from __future__ import annotations

from pathlib import Path

import pytest

from reference_worker.settings import SettingsError, from_environment

_NEEDED = {"CONFIG_DIR": "/config", "JOURNAL_DSN": "postgresql://u:secret@h/d", "WORKER_NAME": "w"}


def test_three_variables_are_enough() -> None:
    settings = from_environment(_NEEDED)
    assert (settings.config_dir, settings.worker_name, settings.confirm) == (Path("/config"), "w", "file")


def test_all_others_are_read() -> None:
    settings = from_environment(
        _NEEDED
        | {
            "SIDECAR_URL": "http://127.0.0.1:8080/",
            "CONFIRM": "http",
            "START_DELAY_MS": "250",
            "STOP_DELAY_MS": "1500",
            "HEALTH_LISTEN": "127.0.0.1:0",
            "LOG_LEVEL": "debug",
        }
    )
    assert settings.sidecar_url == "http://127.0.0.1:8080"
    assert (settings.start_delay_s, settings.stop_delay_s) == (0.25, 1.5)
    assert settings.http_listen == ("127.0.0.1", 0)
    assert settings.log_level == "DEBUG"


def test_one_message_names_everything_that_is_wrong() -> None:
    with pytest.raises(SettingsError) as error:
        from_environment({"CONFIRM": "maybe", "START_DELAY_MS": "-1", "HEALTH_LISTEN": "8080"})
    for name in ("CONFIG_DIR", "JOURNAL_DSN", "WORKER_NAME", "CONFIRM", "START_DELAY_MS", "HEALTH_LISTEN"):
        assert name in str(error.value)


def test_http_confirmation_needs_an_address_for_the_hook() -> None:
    with pytest.raises(SettingsError, match="HEALTH_LISTEN"):
        from_environment(_NEEDED | {"CONFIRM": "http"})


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(from_environment(_NEEDED))
