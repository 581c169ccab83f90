"""A real syslog-ng: octet-counted TCP, TLS that asks for a certificate, and lines, into one file."""

from __future__ import annotations

from pathlib import Path

from tests.integration.certificates import Certificates
from tests.integration.servers import RECEIVERS, Server, free_port, json_lines, receiver_program

_CONFIG = """
@version: 3.38
options {{ keep-hostname(yes); log-msg-size(65536); stats-freq(0); flush-lines(1); }};
source tcp {{ syslog(ip(127.0.0.1) port({tcp}) transport("tcp") log-iw-size(1000) max-connections(10)); }};
source tls {{ syslog(ip(127.0.0.1) port({tls}) transport("tls") max-connections(10)
  tls(key-file("{key}") cert-file("{cert}") ca-file("{ca}") peer-verify(required-trusted))); }};
source lines {{ network(ip(127.0.0.1) port({lines}) transport("tcp") flags(syslog-protocol) max-connections(10)); }};
destination out {{ file("{folder}/out.jsonl" template("$(format-json time=$ISODATE host=$HOST tag=$PROGRAM
  msgid=$MSGID text=$MSG)\\n")); }};
log {{ source(tcp); source(tls); source(lines); destination(out); flags(flow-control); }};
"""


class SyslogNg(Server):
    """`tcp_port` and `tls_port` take octet-counted messages, `lines_port` lines."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.tcp_port, self.tls_port, self.lines_port = free_port(), free_port(), free_port()
        config = folder / "syslog-ng.conf"
        config.write_text(
            _CONFIG.format(
                folder=folder,
                ca=certificates.authority,
                cert=certificates.certificate("server"),
                key=certificates.key("server"),
                tcp=self.tcp_port,
                tls=self.tls_port,
                lines=self.lines_port,
            ).replace("\n  msgid", " msgid")
        )
        program, environment = receiver_program("usr/sbin/syslog-ng")
        modules = RECEIVERS / "usr/lib/syslog-ng/3.38"
        command = [str(program), "-F", "--no-caps", f"--module-path={modules}", "-f", str(config)]
        command += [f"--{name}={folder / name}" for name in ("persist-file", "pidfile", "control")]
        super().__init__(command, environment, self.tcp_port, folder / "log")

    def lines(self) -> list[dict[str, str]]:
        """What it wrote: time, host, tag, msgid and the message's `text`."""
        return list(json_lines(self.folder / "out.jsonl"))
