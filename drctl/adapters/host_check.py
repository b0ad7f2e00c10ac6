"""What keeps a host from being claimed, and what a person should know of it before it is needed. Looks only.

A problem stops the phases that need the host; a remark does not. Each says what to do next.
"""

from drctl.adapters.claim_text import Seen
from drctl.core.nouns import dataclass
from drctl.core.ports import Command
from drctl.core.values import Duration

LIMIT = 30.0  # seconds
_SLOW = 2.0  # seconds a shell may take for nothing
_CLOCKS = 2.0  # seconds that two clocks may differ (reliability 3.3)
_SCRIPT = r"""
dr_now=$(date +%s 2>/dev/null) || :
command -v setsid >/dev/null || echo setsid
[ -n "$STATE" ] || STATE=${XDG_STATE_HOME:-${HOME:-}/.local/state}/drctl
while [ ! -e "$STATE" ] && [ -n "$STATE" ]; do STATE=${STATE%/*}; done
STATE=${STATE:-/}
dr_m=$(df -Pk "$STATE" 2>/dev/null | { read -r x; read -r a b c free x m; echo "${free:-9999} $m"; }) || :
if ! [ -w "$STATE" ] || ! [ -d "$STATE" ]; then
  dr_ro= dr_mounts=${DRCTL_MOUNTS_FILE:-/proc/mounts}
  [ -r "$dr_mounts" ] || dr_mounts=/dev/null
  while read -r x m x opts x; do
    if [ "$m" = "${dr_m#* }" ]; then case ,$opts, in *,ro,*) dr_ro=1 ;; *) dr_ro= ;; esac; fi
  done <"$dr_mounts"
  [ -z "$dr_ro" ] || echo "readonly $STATE"
  [ -n "$dr_ro" ] || echo "write $STATE"
elif [ "${dr_m%% *}" -lt 1024 ]; then
  echo "full $STATE"
fi
case $(stat -f -c %T "$STATE" 2>/dev/null) in nfs*) echo "nfs $STATE" ;; esac
dr_kill= dr_spared=root
for f in "${DRCTL_LOGIND:-/etc/systemd/logind.conf}" "${DRCTL_LOGIND:-/etc/systemd/logind.conf}".d/*.conf; do
  [ -r "$f" ] || continue
  while read -r line; do
    case $line in
      KillUserProcesses=*) dr_kill=${line#*=} ;;
      KillExcludeUsers=*) dr_spared=${line#*=} ;;
    esac
  done <"$f"
done
dr_me=$(id -un 2>/dev/null) || :
case $dr_kill in
  yes | true | 1 | on)
    case " $dr_spared " in
      *" $dr_me "*) ;;
      *) [ -e "/var/lib/systemd/linger/$dr_me" ] || echo "logout $dr_me" ;;
    esac
    ;;
esac
echo "clock $dr_now"
"""
_PROBLEMS = {
    "setsid": "setsid is missing: a command could not be kept apart from the link. Next: install util-linux",
    "write": "the folder for claims cannot be made: {} is not writable. Next: set state_dir in the inventory",
    "readonly": "the folder for claims cannot be made: {} lies on a file system that is read-only."
    " Next: look why (dmesg; a broken disk is often mounted so), or set state_dir in the inventory",
    "full": "the disk of the folder for claims is full: {} has less than 1 MiB left. Next: make room, or set state_dir",
    "nfs": "the folder for claims lies on NFS ({}), where a claim is not safe. Next: set state_dir in the inventory",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a check found: the first problem, or nothing, and all remarks."""

    problem: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """When the host was asked and when it had answered: readings of the wall clock here, in seconds, and time spent."""

    before: float
    after: float
    took: float


def question(state_dir: str) -> Command:
    """The look."""
    return Command(script=_SCRIPT, env={"STATE": state_dir}, timeout=Duration(int(LIMIT * 1e6)))


def findings(login: str, out: Seen, before_it: bytes, asked: Asked) -> Findings:
    """Read the answer. `before_it` is what the login shell printed by itself."""
    problem, remarks = "", []
    if asked.took > _SLOW:
        remarks.append(
            f"its shell takes {asked.took:.1f} s for nothing, and every command as long. Next: look at the start files"
            f" of {login} there"
        )
    if before_it.strip():
        first = before_it.strip().splitlines()[0].decode("utf-8", "replace")[:80]
        remarks.append(
            f"its login shell prints {first!r} before any answer: tools that are not drctl may trip over that. Next:"
            f" let the start files of {login} print on a terminal only"
        )
    for line in out.content.decode("utf-8", "replace").splitlines():
        word, _, rest = line.partition(" ")
        if word in _PROBLEMS:
            problem = problem or _PROBLEMS[word].format(rest)
        elif word == "logout":
            remarks.append(
                f"logind ends what {rest} started when the link is lost (KillUserProcesses=yes): an act may die with"
                f" it. Next: on the host, as root: loginctl enable-linger {rest}"
            )
        elif word == "clock":
            remarks += _clock(rest, asked)
    if out.exit != 0:
        problem = problem or f"its shell did not carry the check through, exit {out.exit}"
    return Findings(problem=problem, remarks=tuple(remarks))


def _clock(said: str, asked: Asked) -> list[str]:
    """Whether the clocks differ for certain: the host answered at some time between the question and the answer."""
    if not said.isdecimal():
        return []
    least, most = int(said) - asked.after, int(said) + 1 - asked.before
    if most >= -_CLOCKS and least <= _CLOCKS:
        return []
    off = least if least > 0 else most
    way = "ahead of" if off > 0 else "behind"
    told = f"its clock is {abs(off):.0f} s {way} ours: times in its logs and in this record do not compare"
    return [f"{told}. Next: on the host: timedatectl, chronyc tracking"]
