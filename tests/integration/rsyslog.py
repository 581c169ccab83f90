"""A real rsyslog: TCP, TLS that asks for a certificate, and UDP, into one file by way of a synced queue on disk."""

from __future__ import annotations

import platform
import shutil
import signal
import time
from pathlib import Path

from tests.integration.certificates import Certificates
from tests.integration.servers import RECEIVERS, Server, free_port, json_lines, receiver_program

_CONFIG = """
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid")
module(load="imptcp")
module(load="imudp")
template(name="line" type="list" option.jsonf="on") {{
  property(outname="pri" name="pri" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="tag" name="syslogtag" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="text" name="rawmsg" format="jsonf") }}
ruleset(name="file" {queue}) {{
  action(type="omfile" file="{folder}/out.jsonl" template="line" flushOnTXEnd="on") }}
input(type="imptcp" port="{tcp}" address="127.0.0.1" ruleset="file")
input(type="imudp" port="{tcp}" address="127.0.0.1" ruleset="file")
input(type="imtcp" port="{tls}" address="127.0.0.1" ruleset="file")
"""
# Without the sync a killed rsyslog loses what it has read: that would prove nothing about the sender.
_QUEUE = (
    'queue.type="Disk" queue.filename="spool" queue.syncqueuefiles="on" queue.checkpointInterval="1" '
    'queue.saveOnShutdown="on" queue.dequeueBatchSize="1000"'
)
_CLOSE_WAIT = "08"  # in /proc/net/tcp: the other side has said that nothing more comes
_FIN = 1  # counts as a byte there
_SETTLE_SECONDS = 0.02
_TRIES = 200


class Rsyslog(Server):
    """`tcp_port` takes TCP and UDP, `tls_port` TLS. `durable` keeps what was read over a SIGKILL, and is slow.

    Even then rsyslog reads up to 128 KiB of a connection at a time and has them in memory while it writes one message
    after the other to its queue. Killed at the last such piece of a batch it has read the batch whole, its kernel
    closes the connection in an orderly way, and what was not yet in the queue is gone (seen with strace: every message
    that was neither in the queue nor sent again had been returned by its `recv`). That loss is its own, so `kill` of a
    durable one waits for a moment at which it holds no batch that way: whatever it misses then, the sender has lost.
    """

    def __init__(self, folder: Path, certificates: Certificates, *, durable: bool = False) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.tcp_port, self.tls_port = free_port(), free_port()
        config = folder / "rsyslog.conf"
        config.write_text(
            _CONFIG.format(
                folder=folder,
                ca=certificates.authority,
                cert=certificates.certificate("server"),
                key=certificates.key("server"),
                tcp=self.tcp_port,
                tls=self.tls_port,
                queue=_QUEUE if durable else "",
            )
        )
        program, environment = receiver_program("usr/sbin/rsyslogd")
        modules = RECEIVERS / f"usr/lib/{platform.machine()}-linux-gnu/rsyslog"
        command = [str(program), "-n", "-f", str(config), "-i", str(folder / "pid"), "-M", str(modules)]
        super().__init__(command, environment, self.tcp_port, folder / "log")
        self._durable = durable
        self._kills = 0

    def lines(self) -> list[dict[str, str]]:
        """What it wrote: pri, time, host, tag, msgid, and the whole message as `text`."""
        return [line for line in json_lines(self.folder / "out.jsonl") if line["text"]]

    def kill(self) -> None:
        """SIGKILL; what its queue held then is kept aside."""
        if self._durable:
            self._stop_with_no_batch_in_memory_alone()
        super().kill()
        self._kills += 1
        aside = self.folder / f"killed-{self._kills}"
        aside.mkdir(exist_ok=True)
        for path in self.folder.glob("spool*"):
            shutil.copy2(path, aside)

    def read_at_kills(self) -> bytes:
        """What lay in its queue whenever it was killed: it had read that."""
        return b"".join(path.read_bytes() for path in sorted(self.folder.glob("killed-*/spool*")))

    def _stop_with_no_batch_in_memory_alone(self) -> None:
        assert self._process is not None
        for _ in range(_TRIES):
            self._process.send_signal(signal.SIGSTOP)
            time.sleep(_SETTLE_SECONDS)  # what was on its way has arrived
            if not self._has_read_a_batch_whole():
                return
            self._process.send_signal(signal.SIGCONT)
            time.sleep(_SETTLE_SECONDS)
        raise AssertionError("whenever it is looked at it is writing the end of a batch to its queue")

    def _has_read_a_batch_whole(self) -> bool:
        """Whether it has read a connection to its end, and not closed it yet."""
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, queues, *_ = line.split()
            port, unread = int(local.partition(":")[2], 16), int(queues.partition(":")[2], 16)
            if port in (self.tcp_port, self.tls_port) and state == _CLOSE_WAIT and unread <= _FIN:
                return True
        return False
