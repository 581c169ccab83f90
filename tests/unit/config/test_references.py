"""References to secrets: what they stand for, and that nothing says it."""

from __future__ import annotations

import os

import pytest
import yaml

from collector.config import Config, load_config, yaml_lines
from collector.sources.withsecure.config import WithSecureConfig

from .conftest import ENVIRON, SINKS, Folder


def configuration(secret: str, more: str = "") -> str:
    return (
        f"tenants:\n  acme:\n    sources:\n      - type: withsecure\n        client_id: x\n"
        f"        client_secret: {secret}\n{more}{SINKS}"
    )


def secret_of(config: Config) -> str:
    source = config.tenants["acme"].sources[0]
    assert isinstance(source, WithSecureConfig)
    return source.client_secret.get_secret_value()


def test_a_reference_to_the_environment_is_its_value(folder: Folder) -> None:
    assert secret_of(folder.load(configuration("${env:SECRET}"))) == ENVIRON["SECRET"]


@pytest.mark.parametrize("content", ["top secret", "top secret\n", "top secret\r\n", "\ufefftop secret\n"])
def test_a_reference_to_a_file_is_its_content_without_the_last_line_end(folder: Folder, content: str) -> None:
    (folder.path / "secret").write_bytes(content.encode())

    assert secret_of(folder.load(configuration("${file:secret}"))) == "top secret"
    assert secret_of(folder.load(configuration(f"${{file:{folder.path}/secret}}"))) == "top secret"


def test_only_one_line_end_is_taken_away(folder: Folder) -> None:
    folder.write("one\n\n", "secret")

    assert secret_of(folder.load(configuration("${file:secret}"))) == "one\n"


def test_a_reference_to_a_credential_is_read_from_the_folder_of_credentials(folder: Folder) -> None:
    folder.write("from systemd\n", "credentials/acme")
    folder.environ = {"CREDENTIALS_DIRECTORY": str(folder.path / "credentials")}

    assert secret_of(folder.load(configuration("${credential:acme}"))) == "from systemd"


def test_references_may_stand_inside_other_text_and_several_of_them(folder: Folder) -> None:
    assert secret_of(folder.load(configuration("'a-${env:ID}-${env:SECRET}'"))) == "a-fusion_1-s3cr3t-canary"


def test_two_dollars_keep_a_brace_from_beginning_a_reference(folder: Folder) -> None:
    assert secret_of(folder.load(configuration("'$${env:SECRET} $$ $'"))) == "${env:SECRET} $$ $"


def test_what_a_reference_stands_for_is_not_read_again(folder: Folder) -> None:
    folder.environ = {"A": "${env:B}", "B": "x"}

    assert secret_of(folder.load(configuration("${env:A}"))) == "${env:B}"


def test_numbers_and_truth_values_may_be_referenced_too(folder: Folder) -> None:
    folder.environ = {"SECRET": "s", "N": "7", "T": "false"}

    config = folder.load(
        configuration(
            "${env:SECRET}", '        rate_limit: {requests: "${env:N}"}\n        tls: {verify: "${env:T}"}\n'
        )
    )

    source = config.tenants["acme"].sources[0]
    assert (source.rate_limit.requests, source.tls.verify) == (7, False)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("${env:NOPE}", "${env:NOPE}: the environment variable is not set"),
        ("${env:EMPTY}", "${env:EMPTY}: the environment variable is empty"),
        ("${file:nowhere}", "${file:nowhere}: No such file or directory"),
        ("${file:.}", "${file:.}: Is a directory"),
        ("${file:empty}", "${file:empty}: the file is empty"),
        ("${file:large}", "${file:large}: the file is larger than 64KiB"),
        ("${file:binary}", "${file:binary}: the file is not UTF-8 text"),
        ("${credential:x}", "${credential:x}: $CREDENTIALS_DIRECTORY is not set; systemd sets it for LoadCredential="),
        ("${credential:../x}", "${credential:../x}: the name of a credential is that of a file, without directories"),
        ("${enf:X}", "${enf:...} is no reference; did you mean ${env:...}? write ${env:NAME}, ${file:PATH} or"),
        ("'${hunter2:x}'", "${ begins no reference; write ${env:NAME}, ${file:PATH} or ${credential:NAME}, or $${ for"),
        ("'pa${hunter2'", "${ begins no reference; write ${env:NAME}"),
    ],
)
def test_a_reference_that_leads_nowhere_is_one_message_that_names_it(
    folder: Folder, reference: str, expected: str
) -> None:
    folder.environ = {"EMPTY": ""}
    folder.write("\n", "empty")
    folder.write("x" * (65 << 10), "large")
    (folder.path / "binary").write_bytes(b"\xff\xfe")

    problems = folder.problems(configuration(reference))

    assert len(problems) == 1
    assert problems[0].startswith(f"collector.yaml:6: tenants.acme.sources[0].client_secret: {expected}")
    assert "hunter2" not in problems[0]


def test_a_reference_that_leads_nowhere_is_the_only_message_about_its_value(folder: Folder) -> None:
    more = "        base_url: ${env:A}\n        overlap: ${env:B}\n        feeds: ['${env:C}']\n"

    problems = folder.problems(configuration("${env:SECRET}", more))

    assert problems == [
        "collector.yaml:7: tenants.acme.sources[0].base_url: ${env:A}: the environment variable is not set",
        "collector.yaml:8: tenants.acme.sources[0].overlap: ${env:B}: the environment variable is not set",
        "collector.yaml:9: tenants.acme.sources[0].feeds[0]: ${env:C}: the environment variable is not set",
    ]


def test_values_that_lead_nowhere_are_not_compared_with_each_other(folder: Folder) -> None:
    sinks = "sinks:\n  a: {type: file, path: '${env:A}'}\n  b: {type: file, path: '${env:B}'}\n"

    problems = folder.problems(configuration("${env:SECRET}").replace(SINKS, sinks))

    assert [problem.partition(": ${")[0] for problem in problems] == [
        "collector.yaml:8: sinks.a.path",
        "collector.yaml:9: sinks.b.path",
    ]


def test_a_type_that_leads_nowhere_is_one_message(folder: Folder) -> None:
    problems = folder.problems(configuration("x").replace("type: withsecure", "type: ${env:T}"))

    assert len(problems) == 1


def test_no_message_says_what_a_reference_stands_for(folder: Folder) -> None:
    folder.write(ENVIRON["SECRET"], "canary")
    everywhere = "\n".join(
        f"        {key}: ${{{kind}}}"
        for key, kind in (
            ("overlap", "env:SECRET"),
            ("poll_interval", "file:canary"),
            ("feeds", "env:SECRET"),
            ("base_url", "env:SECRET"),
            ("name", "file:canary"),
            ("proxy", "env:SECRET"),
            ("sweep", "env:SECRET"),
            ("nonsense", "env:SECRET"),
        )
    )

    problems = folder.problems(configuration("${env:SECRET}", everywhere + "\n"))

    assert len(problems) == 8 - 1  # a secret may be a source's name, odd as that is
    assert ENVIRON["SECRET"] not in "\n".join(problems)
    assert "'***' is not a duration" in "\n".join(problems)


@pytest.mark.parametrize(
    "secret",
    [
        "{hunter2: x}",
        "[hunter2]",
        "!hunter2 x",
        "*hunter2",
        "'hunter2",
        "%hunter2",
        "@hunter2",
        "hunter2: hunter2",
        '"hunter2\\z"',
        "!<hunter2> x",
        "&hunter2 &hunter2 a",
    ],
)
@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_no_message_repeats_a_literal_secret(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, secret: str, loader: str
) -> None:
    monkeypatch.setattr(yaml_lines, "_Loader", getattr(yaml, loader))

    problems = folder.problems(configuration(secret))

    assert "hunter2" not in "\n".join(problems)


def test_a_literal_secret_works_with_a_warning_that_does_not_repeat_it(folder: Folder) -> None:
    config = folder.load(configuration("hunter2"))

    assert secret_of(config) == "hunter2"
    assert len(config.warnings) == 1
    assert "client_secret: the secret stands in the file; use ${env:NAME}, ${file:PATH}" in config.warnings[0]
    assert "hunter2" not in config.warnings[0]


def test_a_literal_secret_of_digits_is_warned_about_as_well(folder: Folder) -> None:
    config = folder.load(configuration("12345"))

    assert secret_of(config) == "12345"
    assert len(config.warnings) == 1
    assert "client_secret: the secret stands in the file" in config.warnings[0]
    assert "12345" not in config.warnings[0]


def test_a_literal_secret_among_the_defaults_is_one_warning_at_its_line(folder: Folder) -> None:
    text = configuration("${env:SECRET}").replace("        client_secret: ${env:SECRET}\n", "")

    config = folder.load(text + "defaults: {withsecure: {client_secret: hunter2}}\n")

    assert len(config.warnings) == 1
    assert "collector.yaml:7: defaults.withsecure.client_secret: the secret stands in the file" in config.warnings[0]


def test_everything_secret_is_known_to_the_redaction(folder: Folder) -> None:
    folder.write("from-a-file\n", "label")
    more = '        proxy: "http://user:pr%40xy@proxy:3128"\n    labels: {site: "${file:label}", plain: "${env:ID}"}\n'

    config = folder.load(configuration("${env:SECRET}", more))

    assert config.secret_values() == {ENVIRON["SECRET"], "from-a-file", "pr%40xy", "pr@xy"}


def test_a_configuration_shown_by_mistake_shows_no_secret(folder: Folder) -> None:
    folder.write("from-a-file\n", "secret")

    config = folder.load(configuration("${file:secret}", '        proxy: "http://user:pr0xy@proxy:3128"\n'))

    for text in (repr(config), str(config)):
        assert "from-a-file" not in text
        assert "pr0xy" not in text


def test_the_process_environment_is_asked_unless_another_is_given(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "COLLECTOR_TEST_SECRET", "from the process")
    file = folder.write(configuration("${env:COLLECTOR_TEST_SECRET}"))

    assert secret_of(load_config(file)) == "from the process"
