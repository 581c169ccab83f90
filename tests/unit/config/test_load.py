"""From a file to a configuration: what is complete, what is wrong, in which words."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from collector.config import load_config
from collector.sources import withsecure
from collector.sources.withsecure.config import WithSecureConfig

from .conftest import ENVIRON, SINKS, TENANTS, Folder


def test_the_smallest_configuration_is_complete_by_defaults(folder: Folder) -> None:
    config = folder.load(TENANTS + SINKS)

    source = config.tenants["acme"].sources[0]
    assert isinstance(source, WithSecureConfig)
    assert source.name == "withsecure"
    assert source.feeds == ("security_events", "incidents")
    assert source.sweep.window == timedelta(minutes=15)
    assert config.state.path == Path("/var/lib/collector/collector.db")
    assert config.admin.control == Path("/var/lib/collector/collector.sock")
    assert config.admin.address == ("127.0.0.1", 9650)
    assert config.sinks["archive"].format == "json"
    assert config.max_backlog("archive") == (10 << 30) // 4
    assert config.warnings == ()


def test_the_example_of_the_product_loads(folder: Folder) -> None:
    folder.write("client-secret\n", "secret")
    config = folder.load("""
        state: {path: state/collector.db, remember_ids: 30d, keep_delivered: 7d, max_size: 10GiB}
        admin: {listen: "127.0.0.1:9650", control: collector.sock}
        logging: {level: info, format: auto}
        defaults:
          withsecure: {poll_interval: 60s, overlap: 30s, sweep: {every: 5m, window: 15m}, start_from: 24h,
                       rate_limit: {requests: 300, per: 60s}}
        tenants:
          acme:
            labels: {customer: Acme Oy}
            organizations: {"9c1f-uuid": acme-fi}
            sources:
              - type: withsecure
                client_id: ${env:ID}
                client_secret: ${file:secret}
                feeds: [security_events, incidents]
                organization_id: null
                base_url: https://api.connect.withsecure.com
                tls: {ca_file: null, verify: true}
                proxy: null
        sinks:
          archive:
            {type: file, path: "events/{tenant}/{date}.ndjson", format: json, required: true, start_at: earliest,
             max_backlog: 1GiB, oversize: reduce, time: fetched, renamed_from: old,
             route: {tenants: [acme, acme-fi], sources: [withsecure], feeds: [security_events], min_severity: low}}
        """)

    source = config.tenants["acme"].sources[0]
    assert isinstance(source, WithSecureConfig)
    assert source.client_secret.get_secret_value() == "client-secret"
    assert source.client_id == "fusion_1"
    assert config.tenants["acme"].organizations == {"9c1f-uuid": "acme-fi"}
    assert config.max_backlog("archive") == 1 << 30


def test_six_mistakes_are_six_messages_with_file_line_and_key(folder: Folder) -> None:
    problems = folder.problems("""\
        state: {path: s.db, remember_ids: 30 days}
        logging: {level: inf}
        tenants:
          acme:
            sources:
              - type: withsecure
                client_idd: fusion_1
                client_secret: ${env:NOT_THERE}
        sinks:
          archive: {type: fil, path: x}
          second: {type: file}
        """)

    starts = [
        "collector.yaml:1: state.remember_ids: '30 days' is not a duration; write it like",
        "collector.yaml:2: logging.level: must be debug, info, warning or error; did you mean info?",
        "collector.yaml:7: tenants.acme.sources[0].client_idd: unknown key; did you mean client_id? allowed: type,",
        "collector.yaml:8: tenants.acme.sources[0].client_secret: ${env:NOT_THERE}: the environment variable is not",
        "collector.yaml:10: sinks.archive.type: unknown type; did you mean file? allowed: file",
        "collector.yaml:11: sinks.second.path: required key is missing",
    ]
    assert [problem[: len(start)] for problem, start in zip(problems, starts, strict=True)] == starts


def test_a_misspelt_section_is_one_mistake(folder: Folder) -> None:
    problems = folder.problems(TENANTS + SINKS.replace("sinks:", "sink:"))

    assert len(problems) == 1
    assert "sink: unknown key; did you mean sinks?" in problems[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state: {max_size: 10}", "state.max_size: a bare number has no unit"),
        ("state: {max_size: 1KiB}", "state.max_size: must be at least 1MiB"),
        ("state: [1]", "state: must be a mapping"),
        ("admin: {listen: 9650}", "admin.listen: must be host:port"),
        ("admin: {listen: ':9650'}", "admin.listen: must be host:port"),
        ("admin: {listen: 'localhost:99999'}", "admin.listen: must be host:port"),
        ("admin: x", "admin: must be a mapping"),
        ("logging: {level: true}", "logging.level: must be debug"),
        ("defaults: [x]", "defaults: must be a mapping"),
        ("defaults: {withsecur: {}}", "defaults.withsecur: unknown type; did you mean withsecure?"),
        ("defaults: {withsecure: 5}", "defaults.withsecure: must be a mapping"),
        ("defaults: {withsecure: {name: x}}", "defaults.withsecure.name: belongs to one source"),
        ("include: x.yaml", "include: must be a list"),
        ("include: [{}]", "include[0]: must be a file or a pattern"),
        ("state: {path: }", "state.path: must be a path, not null"),
        ("banana: 1", "banana: unknown key; allowed: include, state, admin"),
    ],
)
def test_a_mistake_in_a_section_is_one_message_at_its_key(folder: Folder, text: str, expected: str) -> None:
    problems = folder.problems(TENANTS + SINKS + text)

    assert len(problems) == 1
    assert problems[0].startswith(f"collector.yaml:3: {expected}")


@pytest.mark.parametrize(
    ("tenant", "expected"),
    [
        ("{}", "tenants.acme.sources: required key is missing"),
        ("5", "tenants.acme: must be a mapping"),
        ("{sources: []}", "tenants.acme.sources: must be a list of at least one source"),
        ("{sources: 1}", "tenants.acme.sources: must be a list of at least one source"),
        ("{sources: [7]}", "tenants.acme.sources[0]: must be a mapping"),
        ("{sources: [{client_id: x}]}", "tenants.acme.sources[0].type: required key is missing; known types: eset, "),
        ("{sources: [{type: 5}]}", "tenants.acme.sources[0].type: unknown type; allowed: eset, withsecure"),
        ("{sources: [SOURCE], labels: {'a b': c}}", 'tenants.acme.labels["a b"]: must match'),
        ("{sources: [SOURCE], labels: {a: true}}", "tenants.acme.labels.a: must be text; put it in quotes"),
        ("{sources: [SOURCE], organizations: {id: 'a b'}}", "tenants.acme.organizations.id: must be 1 to 64 of"),
        ("{sources: [SOURCE], label: {a: b}}", "tenants.acme.label: unknown key; did you mean labels?"),
    ],
)
def test_a_mistake_in_a_tenant_is_one_message_at_its_key(folder: Folder, tenant: str, expected: str) -> None:
    tenant = tenant.replace("SOURCE", "{type: withsecure, client_id: x, client_secret: '${env:SECRET}'}")

    problems = folder.problems(f"tenants: {{acme: {tenant}}}\n{SINKS}")

    assert len(problems) == 1
    assert problems[0].startswith(f"collector.yaml:1: {expected}")


def test_names_that_yaml_1_1_takes_for_truth_values_and_numbers_are_names(folder: Folder) -> None:
    config = folder.load(f"""
        tenants:
          no: {{labels: {{site: 007, country: no, floor: 3}}, sources: [{{type: withsecure, client_id: 1234,
            client_secret: '${{env:SECRET}}', tls: {{verify: off}}}}]}}
        {SINKS}""")

    assert config.tenants["no"].labels == {"site": "007", "country": "no", "floor": "3"}
    source = config.tenants["no"].sources[0]
    assert isinstance(source, WithSecureConfig)
    assert source.client_id == "1234"
    assert source.tls.verify is False


def test_sections_whose_keys_are_all_commented_out_have_their_defaults(folder: Folder) -> None:
    config = folder.load(TENANTS.replace("'}", "', tls: , sweep: }") + SINKS + "state:\nadmin:\nlogging:\ndefaults:\n")

    assert config.logging.level == "info"
    assert config.tenants["acme"].sources[0].tls.verify is True


def test_null_switches_the_admin_server_off(folder: Folder) -> None:
    assert folder.load(TENANTS + SINKS + "admin: {listen: null}").admin.address is None


def test_defaults_stand_under_what_a_source_says_itself(folder: Folder) -> None:
    config = folder.load(
        SINKS
        + """
defaults:
  withsecure: {overlap: 40s, sweep: {every: 2m, window: 20m}, rate_limit: {requests: 10, per: 1s}}
tenants:
  acme:
    sources:
      - {type: withsecure, client_id: x, client_secret: "${env:SECRET}", overlap: 50s, sweep: {every: 3m}}
      - {type: withsecure, name: second, client_id: x, client_secret: "${env:SECRET}"}
"""
    )

    first, second = config.tenants["acme"].sources
    assert first.overlap == timedelta(seconds=50)
    assert (first.sweep.every, first.sweep.window) == (timedelta(minutes=3), timedelta(minutes=20))
    assert (second.sweep.every, second.overlap) == (timedelta(minutes=2), timedelta(seconds=40))
    assert first.rate_limit.requests == 10


def test_a_mistake_in_the_defaults_is_reported_once_at_its_own_line(folder: Folder) -> None:
    problems = folder.problems(
        """\
defaults:
  withsecure:
    overlp: 40s
    sweep: {every: 20m}
tenants:
  a: {sources: [{type: withsecure, client_id: x, client_secret: "${env:SECRET}"}]}
  b: {sources: [{type: withsecure, client_id: x, client_secret: "${env:SECRET}"}]}
"""
        + SINKS
    )

    assert len(problems) == 2
    assert problems[0].startswith("collector.yaml:3: defaults.withsecure.overlp: unknown key; did you mean overlap?")
    assert problems[1] == ("collector.yaml:4: defaults.withsecure.sweep: every (20m) must be shorter than window (15m)")


def test_wrong_defaults_are_reported_without_any_source_of_that_type(folder: Folder) -> None:
    problems = folder.problems("defaults: {withsecure: {overlap: 40}}\n" + SINKS)

    assert problems == [
        "collector.yaml:1: defaults.withsecure.overlap: a bare number has no unit; write 40s, 40m, 40h or 40d",
        "collector.yaml:1: tenants: at least one tenant is needed",
    ]


def test_feeds_that_come_later_are_a_warning_and_are_not_read(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withsecure, "PLUGIN", replace(withsecure.PLUGIN, feeds=("security_events",)))

    config = folder.load(TENANTS.replace("'}", "', feeds: [security_events, incidents]}") + SINKS)

    assert config.tenants["acme"].sources[0].feeds == ("security_events",)
    assert len(config.warnings) == 1
    assert "sources[0].feeds[1]: feed incidents is not available in this version" in config.warnings[0]


def test_relative_paths_are_relative_to_the_file_they_stand_in(folder: Folder) -> None:
    folder.write("pem", "ca.pem")
    folder.write("pem", "more/own.pem")
    folder.write(
        """
        tenants:
          b: {sources: [{type: withsecure, client_id: x, client_secret: "${env:SECRET}"}]}
          c: {sources: [{type: withsecure, client_id: x, client_secret: "${env:SECRET}", tls: {ca_file: own.pem}}]}
        sinks:
          second: {type: file, path: "{tenant}.ndjson"}
        """,
        "more/b.yaml",
    )

    config = folder.load(
        TENANTS + SINKS + "include: [more/*.yaml]\ndefaults: {withsecure: {tls: {ca_file: ca.pem}}}\n"
        "state: {path: state/x.db}\nadmin: {control: run/c.sock}\n"
    )

    assert config.state.path == folder.path / "state/x.db"
    assert config.admin.control == folder.path / "run/c.sock"
    assert config.tenants["b"].sources[0].tls.ca_file == folder.path / "ca.pem"
    assert config.tenants["c"].sources[0].tls.ca_file == folder.path / "more/own.pem"
    assert config.sinks["second"].model_dump()["path"] == f"{folder.path}/more/{{tenant}}.ndjson"


def test_the_control_socket_is_beside_the_state(folder: Folder) -> None:
    config = folder.load(TENANTS + SINKS + "state: {path: state/x.db}")

    assert config.admin.control == folder.path / "state/collector.sock"


def test_braces_in_the_folder_of_a_configuration_are_no_placeholders(folder: Folder) -> None:
    folder.path = folder.path / "{odd}"
    folder.write(TENANTS + SINKS)

    path = folder.load().sinks["archive"].model_dump()["path"]

    assert path == str(folder.path).replace("{odd}", "{{odd}}") + "/events.ndjson"


def test_a_missing_certificate_file_is_a_mistake(folder: Folder) -> None:
    problems = folder.problems(TENANTS.replace("'}", "', tls: {ca_file: nowhere.pem}}") + SINKS)

    assert problems == ["collector.yaml:1: tenants.acme.sources[0].tls.ca_file: no such file"]


def test_what_is_legal_but_dangerous_is_a_warning(folder: Folder) -> None:
    config = folder.load(
        TENANTS.replace(
            "'}", "', tls: {verify: false}, base_url: 'http://gate.example.com', proxy: 'http://u:hunter2@p:8080'}"
        )
        + SINKS
    )

    warnings = "\n".join(config.warnings)
    assert len(config.warnings) == 3
    assert "tls.verify: certificates are not verified" in warnings
    assert "base_url: http sends the credentials in clear text" in warnings
    assert "proxy: a password stands in the file" in warnings
    assert "hunter2" not in warnings


def test_plain_http_to_this_machine_needs_no_warning(folder: Folder) -> None:
    config = folder.load(TENANTS.replace("'}", "', base_url: 'http://127.0.0.1:8080/'}") + SINKS)

    assert config.warnings == ()
    assert config.tenants["acme"].sources[0].model_dump()["base_url"] == "http://127.0.0.1:8080"


def test_anchors_and_merge_keys_work_and_keep_their_lines(folder: Folder) -> None:
    text = (
        SINKS
        + """
tenants:
  a:
    sources: [&base {type: withsecure, client_id: x, client_secret: "${env:SECRET}", overlap: 7s}]
  b:
    sources:
      - <<: *base
        client_id: y
"""
    )

    config = folder.load(text)
    problems = folder.problems(text.replace("7s", "7"))

    b = config.tenants["b"].sources[0]
    assert isinstance(b, WithSecureConfig)
    assert (b.client_id, b.overlap) == ("y", timedelta(seconds=7))
    assert [problem.split(": a bare")[0] for problem in problems] == [
        "collector.yaml:5: tenants.a.sources[0].overlap",
        "collector.yaml:5: tenants.b.sources[0].overlap",
    ]


def test_hundreds_of_tenants_load_in_a_moment(folder: Folder) -> None:
    for number in range(400):
        folder.write(TENANTS.replace("acme", f"customer-{number}"), f"tenants.d/{number}.yaml")
    folder.write("include: [tenants.d/*.yaml]\n" + SINKS)
    begin = time.monotonic()

    config = folder.load()

    assert len(config.tenants) == 400
    assert time.monotonic() - begin < 2


def test_a_relative_path_of_the_configuration_itself_gives_absolute_paths(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(TENANTS + SINKS + "state: {path: s.db}")
    monkeypatch.chdir(folder.path)

    config = load_config(Path("collector.yaml"), environ=ENVIRON)

    assert config.path == folder.path / "collector.yaml"
    assert config.state.path == folder.path / "s.db"


def test_what_all_sources_have_in_common_is_kept_once(folder: Folder) -> None:
    keys = "type: withsecure, client_id: fusion_1, client_secret: secret"
    config = folder.load(
        SINKS
        + f"""
tenants:
  acme: {{sources: [{{{keys}}}]}}
  beta: {{sources: [{{{keys}, sweep: {{every: 2m}}}}]}}
"""
    )
    acme, beta = (config.tenants[name].sources[0] for name in ("acme", "beta"))

    assert acme.rate_limit is beta.rate_limit
    assert (acme.sweep.every, beta.sweep.every) == (timedelta(minutes=5), timedelta(minutes=2))
