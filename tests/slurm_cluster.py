#!/usr/bin/env python
"""A real Slurm with three nodes on this host, for tests and for trying a profile without a cluster.

    python tests/slurm_cluster.py start DIRECTORY
    . DIRECTORY/environment
    sinfo
    python tests/slurm_cluster.py stop DIRECTORY

Needs root and the packages slurmctld, slurmd, slurm-client and munge (Debian's names). Everything lies in DIRECTORY,
whose path must be short: there are sockets in it. It differs from a cluster in this: all nodes have this host's name,
processor and memory, nothing confines a job to the cores and the memory that it asked for, and there is no accounting.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# What Debian installs into /usr/sbin is not on everybody's path.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "munged")
NODES = ("node1", "node2", "node3")
# Two kinds of node: a partition for each.
PARTITIONS = {"batch": ("node1", "node2"), "other": ("node3",)}
_PATIENCE_SECONDS = 30.0


def missing() -> list[str]:
    """What this machine lacks to run a cluster; empty if nothing."""
    lacks = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    return lacks + ([] if os.geteuid() == 0 else ["root"])


@dataclass(frozen=True)
class Cluster:
    """A cluster whose files lie in ``directory``."""

    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs beside its own environment to be a client of this cluster."""
        return {
            "SLURM_CONF": str(self.directory / "slurm.conf"),
            "PATH": os.pathsep.join([str(self.directory / "bin"), _PATH]),
        }

    def start(self) -> None:
        self.directory.mkdir(parents=True)
        for name in ("bin", "state", "munge", *(f"spool-{node}" for node in NODES)):
            (self.directory / name).mkdir(mode=0o700 if name == "munge" else 0o755)
        self._write_configuration()
        self._start_munge()
        self._run("slurmctld", "-c", "-f", str(self.directory / "slurm.conf"))
        for node in NODES:
            self.start_node(node)
        end = time.monotonic() + _PATIENCE_SECONDS
        while self.node_states() != dict.fromkeys(NODES, "idle"):
            if time.monotonic() > end:
                raise RuntimeError(
                    f"the nodes are not ready: {self.node_states()}; see {self.directory}/*.log"
                )
            time.sleep(0.2)

    def stop(self) -> None:
        """End all jobs and daemons. Safe to call again, and on a cluster that was started in part."""
        with suppress(subprocess.SubprocessError, OSError):
            self.call("scancel", "--user=root", timeout=30)
            end = time.monotonic() + _PATIENCE_SECONDS
            while self.call("squeue", "--noheader", timeout=30).strip() and time.monotonic() < end:
                time.sleep(0.2)
        for node in NODES:
            self.stop_node(node)
        for name in ("slurmctld", "munge/munged"):
            self._end(self.directory / f"{name}.pid")
        # What a node that was lost has left behind.
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def start_node(self, node: str) -> None:
        self._run("slurmd", "-f", str(self.directory / "slurm.conf"), "-N", node)

    def stop_node(self, node: str) -> None:
        """As if the node had lost its power: its daemon and all that runs on it are gone without a word."""
        self._end(self.directory / f"slurmd-{node}.pid", signal.SIGKILL)
        mark = ("SLURMD_NODENAME", node)
        running = [process for process in self.processes() if mark in _environment(process).items()]
        # First those that would tell of the end of the others.
        keepers = {parent for process in running for parent in process.parents() if _is_keeper(parent)}
        for process in (*keepers, *running):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def processes(self) -> list[psutil.Process]:
        """What runs of this cluster's jobs."""
        mark = ("SLURM_CONF", str(self.directory / "slurm.conf"))
        return [
            process
            for process in psutil.process_iter()
            if mark in (found := _environment(process)).items()
            and ("SLURM_JOB_ID" in found or _is_keeper(process))
        ]

    def call(self, *command: str, timeout: float = 60) -> str:
        """What a client of Slurm prints."""
        return subprocess.run(
            command,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=timeout,
            check=True,
        ).stdout

    def node_states(self) -> dict[str, str]:
        lines = self.call("sinfo", "--Node", "--noheader", "--format=%N %t").splitlines()
        return dict(line.split() for line in lines)

    def jobs(self) -> list[str]:
        """Jobs that are waiting or running."""
        return self.call("squeue", "--noheader", "--format=%i %T %r %N").splitlines()

    # -- setting up ---------------------------------------------------------------------------------------------------

    def _write_configuration(self) -> None:
        here, host = self.directory, socket.gethostname()
        ports = _free_ports(1 + len(NODES))
        cores = os.cpu_count() or 1
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={max(cores, 2)} RealMemory=4000"
            " Gres=gpu:2 State=UNKNOWN"
            for node, port in zip(NODES, ports[1:], strict=True)
        ]
        partitions = [
            f"PartitionName={name} Nodes={','.join(members)} Default={'YES' if name == 'batch' else 'NO'}"
            " MaxTime=INFINITE State=UP"
            for name, members in PARTITIONS.items()
        ]
        (here / "slurm.conf").write_text(
            f"""\
ClusterName=kvsweep
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={here}/munge/socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={here}/state
SlurmdSpoolDir={here}/spool-%n
SlurmctldPidFile={here}/slurmctld.pid
SlurmdPidFile={here}/slurmd-%n.pid
SlurmctldLogFile={here}/slurmctld.log
SlurmdLogFile={here}/slurmd-%n.log
# No cgroups, no accounting daemon.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=5
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MinJobAge=86400
{chr(10).join(nodes)}
{chr(10).join(partitions)}
"""
        )
        (here / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
        environment = {name: value for name, value in self.environment.items() if name != "PATH"}
        (here / "environment").write_text(
            "".join(f"export {name}={value}\n" for name, value in environment.items())
            + f"export PATH={here}/bin:$PATH:/usr/sbin\n"
        )
        # Snakemake's plugin takes SLURM_CONF away from the srun that it calls in a job.
        for name in ("srun", "scontrol"):
            script = here / "bin" / name
            real = shutil.which(name, path=_PATH)
            script.write_text(f'#!/bin/sh\nSLURM_CONF={here}/slurm.conf exec {real} "$@"\n')
            script.chmod(0o755)

    def _start_munge(self) -> None:
        munge = self.directory / "munge"
        key = munge / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = [f"--{name}-file={munge / name}" for name in ("key", "log", "seed")]
        # --force: the directory's parents may be writable by others, as /tmp is.
        self._run("munged", "--force", f"--socket={munge}/socket", f"--pid-file={munge}/munged.pid", *files)

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout}")

    def _end(self, pid_file: Path, signum: signal.Signals = signal.SIGTERM) -> None:
        try:
            pid = int(pid_file.read_text())
        except (OSError, ValueError):
            return
        with suppress(psutil.Error):
            daemon = psutil.Process(pid)
            daemon.send_signal(signum)
            end = time.monotonic() + _PATIENCE_SECONDS
            while daemon.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
                time.sleep(0.05)
        pid_file.unlink(missing_ok=True)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}


def _is_keeper(process: psutil.Process) -> bool:
    """Whether it is Slurm's own process that looks after a step of a job."""
    with suppress(psutil.Error):
        return any("slurmstepd" in word for word in process.cmdline()[:1])
    return False


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        with closing(each):
            pass
    return ports


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["start", "stop"])
    parser.add_argument("directory", type=Path)
    asked = parser.parse_args(arguments)
    cluster = Cluster(asked.directory.absolute())
    if asked.action == "stop":
        cluster.stop()
        shutil.rmtree(cluster.directory)
    elif lacks := missing():
        sys.exit(
            f"a cluster needs {', '.join(lacks)}: apt-get install slurmctld slurmd slurm-client munge, as root"
        )
    else:
        cluster.start()
        print(f"a cluster of {len(NODES)} nodes is up: . {cluster.directory}/environment")


if __name__ == "__main__":
    main()
