"""A real Slurm on this machine, with two pretended GPUs: what the workflow is tried on without a
cluster.

    python tests/slurm_cluster.py start | stop | jobs

Needs root and the Debian packages slurm-wlm and munge. It has neither accounting nor cgroups:
memory is watched by Slurm's own poll, once a second. The configuration lies in /etc/slurm, where
every command of Slurm looks for it; one that is there already is another cluster's, and is left
alone.
"""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ETC = Path("/etc/slurm")
CONFIGURATION, DEVICES = ETC / "slurm.conf", ETC / "gres.conf"
OURS = "# Written by tests/slurm_cluster.py\n"
STATE = Path(tempfile.gettempdir()) / "visae-slurm"
GPUS = 2
CORES, MEMORY_MB = 16, 256_000  # pretended too, so that jobs may ask what they ask elsewhere
COMMANDS = ("munged", "slurmctld", "slurmd", "sinfo")
SECONDS = 30

SETTINGS = [
    *("--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5"),
]
"""What Snakemake needs besides `--profile slurm` where Slurm keeps no accounts, to be quick."""


def why_not():
    """Why no Slurm can be started here (a sentence), or None."""
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing:
        return f"{', '.join(missing)} not found: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "starting a Slurm of one's own needs root"
    if CONFIGURATION.exists() and not CONFIGURATION.read_text().startswith(OURS):
        return f"{CONFIGURATION} belongs to another cluster"
    if _is_running(STATE / "slurmctld.pid"):
        return f"one is running already ({STATE}): tests/slurm_cluster.py stop"
    return None


def start():
    """Write the configuration, start the daemons, wait until the node takes jobs."""
    if reason := why_not():
        raise RuntimeError(reason)
    stop()
    for folder in ("state", "spool", "log"):
        (STATE / folder).mkdir(parents=True)
    for number in range(GPUS):
        os.mknod(STATE / f"gpu{number}", 0o666 | 0o020000, os.makedev(1, 3))
    for name, event in (("prolog", "start"), ("epilog", "end")):
        seen = f'echo {event} $SLURM_JOB_ID "$CUDA_VISIBLE_DEVICES" $(date +%s.%N)'
        _write_script(STATE / name, seen)
    ETC.mkdir(exist_ok=True)
    CONFIGURATION.write_text(OURS + _configuration())
    host = socket.gethostname().split(".")[0]
    files = f"{STATE}/gpu[0-{GPUS - 1}]"
    DEVICES.write_text(f"{OURS}NodeName={host} Name=gpu Type=h200 File={files}\n")
    _start_munge()
    start_controller()
    subprocess.run(["slurmd"], check=True)
    deadline = time.monotonic() + SECONDS
    while _output("sinfo", "--noheader", "--format", "%T") != "idle":
        if time.monotonic() > deadline:
            raise RuntimeError(f"the node is not idle after {SECONDS} s, see {STATE}/log")
        time.sleep(0.2)


def stop():
    """Cancel all jobs, stop the daemons that `start` started, remove what it wrote."""
    if not STATE.exists():
        return
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(["scancel", "--me"], timeout=10, capture_output=True)
    for daemon in ("slurmd", "slurmctld", "munged"):
        _stop_daemon(STATE / f"{daemon}.pid")
    for path in (CONFIGURATION, DEVICES):
        if path.exists() and path.read_text().startswith(OURS):
            path.unlink()
    shutil.rmtree(STATE)


def drain():
    """Let the node take no more jobs: what is submitted from now on waits."""
    host = socket.gethostname().split(".")[0]
    change = [f"NodeName={host}", "State=DRAIN", "Reason=test"]
    subprocess.run(["scontrol", "update", *change], check=True)


def stop_controller():
    """End the controller, as an outage does."""
    _stop_daemon(STATE / "slurmctld.pid")


def start_controller():
    """Start the controller, which has forgotten all jobs."""
    subprocess.run(["slurmctld", "-c"], check=True)


def jobs():
    """Every job so far, in the order of submission: dicts of rule, state, seconds and devices."""
    found = []
    for line in _output("scontrol", "--oneliner", "show", "jobs").splitlines():
        job = dict(re.findall(r"(\w+)=(\S+)", line))
        if "JobId" in job:
            found.append(
                {
                    "id": int(job["JobId"]),
                    "rule": re.sub(r"^rule_|_wildcards_.*", "", job.get("Comment", "")),
                    "wildcards": re.sub(r"^.*?_wildcards_|^rule_.*", "", job.get("Comment", "")),
                    "state": job["JobState"],
                    "partition": job["Partition"],
                    "memory_mb": _megabytes(job["MinMemoryNode"]),
                    "limit": job["TimeLimit"],
                    "gpus": int(job.get("TresPerJob", "gpu:0").rpartition(":")[2]),
                    **_visible_devices().get(int(job["JobId"]), {}),
                }
            )
    return sorted(found, key=lambda job: job["id"])


@contextlib.contextmanager
def running():
    """A Slurm as long as the block lasts."""
    start()
    try:
        yield
    finally:
        stop()


def _visible_devices():
    """Job → its CUDA_VISIBLE_DEVICES and when it started and ended (s), as its own task saw it."""
    seen = {}
    log = STATE / "tasks.log"
    for line in log.read_text().splitlines() if log.exists() else []:
        event, job, *devices, moment = line.split()
        about = seen.setdefault(int(job), {"devices": " ".join(devices)})
        earliest_start = about.get("start", moment) if event == "start" else moment
        about[event] = float(earliest_start)
    return seen


def _configuration():
    host = socket.gethostname().split(".")[0]
    node = f"NodeName={host} NodeAddr=127.0.0.1 CPUs={CORES} RealMemory={MEMORY_MB}"
    return f"""\
ClusterName=visae
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={STATE}/munge/socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={STATE}/prolog
TaskEpilog={STATE}/epilog
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
StateSaveLocation={STATE}/state
SlurmdSpoolDir={STATE}/spool
SlurmctldPidFile={STATE}/slurmctld.pid
SlurmdPidFile={STATE}/slurmd.pid
SlurmctldLogFile={STATE}/log/slurmctld.log
SlurmdLogFile={STATE}/log/slurmd.log
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MinJobAge=3600
KillWait=20
EnforcePartLimits=ALL
GresTypes=gpu
{node} Gres=gpu:h200:{GPUS} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""


def _start_munge():
    """munged refuses to run as root, and to use files that others could change."""
    folder, key = STATE / "munge", STATE / "munge" / "key"
    folder.mkdir()
    key.write_bytes(os.urandom(128))
    user = pwd.getpwnam("munge")
    for path, mode in ((key, 0o600), (folder, 0o755)):
        path.chmod(mode)
        os.chown(path, user.pw_uid, user.pw_gid)
    os.chown(STATE, user.pw_uid, user.pw_gid)
    options = {
        "socket": folder / "socket",
        "key-file": key,
        "pid-file": folder / "munged.pid",
        "log-file": folder / "log",
        "seed-file": folder / "seed",
    }
    command = ["munged", "--force", *(f"--{name}={path}" for name, path in options.items())]
    subprocess.run(command, check=True, user="munge", group="munge", capture_output=True)
    (STATE / "munged.pid").write_text((folder / "munged.pid").read_text())


def _stop_daemon(pid_file):
    for stop in (signal.SIGTERM, signal.SIGKILL):
        if _is_running(pid_file):
            os.kill(int(pid_file.read_text()), stop)
        deadline = time.monotonic() + 5
        while _is_running(pid_file) and time.monotonic() < deadline:
            time.sleep(0.1)


def _is_running(pid_file):
    try:
        os.kill(int(pid_file.read_text()), 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def _write_script(path, line):
    path.write_text(f"#!/bin/sh\n{line} >> {STATE}/tasks.log\n")
    path.chmod(0o755)


def _megabytes(text):
    number, unit = re.fullmatch(r"([\d.]+)([MGT]?)", text).groups()
    return round(float(number) * {"": 1, "M": 1, "G": 1024, "T": 1024**2}[unit])


def _output(*command):
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return run.stdout.strip()


if __name__ == "__main__":
    action = {"start": start, "stop": stop, "jobs": lambda: print(json.dumps(jobs(), indent=1))}
    if len(sys.argv) != 2 or sys.argv[1] not in action:
        sys.exit(__doc__)
    action[sys.argv[1]]()
