# The claim wrapper: plain POSIX sh, run by `sh` with this text on its input, between the braces and after the
# assignments that drctl.adapters.claim_text puts before it. A text that was cut off on its way is a syntax error and
# starts nothing. Every name begins with dr_, so that a variable the host exports is never changed for the
# command. Answers stand in frames marked by a nonce: whatever a noisy login shell prints around them is not read.
#
#   in   dr_N nonce  dr_m mode  dr_d state folder or empty  dr_run uid  dr_id short id  dr_op operator  dr_ep epoch
#        dr_h holder  dr_now UTC  dr_k key  dr_g digest of the command  dr_cap most bytes of a stream  dr_t seconds to wait
#        dr_from uid of a run that is given up, or empty
#        dr_st when the process of a look began, in ticks, or empty
#        dr_priv 1 = outputs are secret  dr_kill 1 = may be ended  dr_sh shell of the command  dr_p program of the runner (dr_t, dr_i)
#        dr_ho dr_he dr_hd  bytes of out and of err that came before, and the SHA-256 of both, one behind the other
#   out  \n@NONCE hello\n  then  \n@NONCE reply STATE RC OUT ERR CUT BOOT PID NOTE\n<OUT bytes><ERR bytes>\n@NONCE end\n
#        OUT and ERR are SENT or SENT,FROM,TOTAL,SHA256: what follows, from which byte, of how many; - is not known
#
#   <state folder>/owner                    uid id since operator of the run that holds this host
#   <state folder>/runs/UID/epochs/N        holder since operator: who first came here with that number; a holder
#                                           run:UID:ID is another run, to which the host was given
#   <state folder>/runs/UID/claims/KEY/     meta (boot digest mode since)  rc  pid  out  err  vault  ending
#   <state folder>/runs/UID/stage/KEY/data  bytes staged for the command
#   <state folder>/runs/UID/as/USER         users the run became here; each has a folder like this one
dr_R='{
printf "%-12s\n" "$$" 1<>"$1/pid" || exit 1
dr_f=$2/out dr_e=$2/err
[ "$2" != none ] || { dr_f=/dev/null; dr_e=/dev/null; }
dr_go() {
  printf "%s\n" "$dr_t" | {
    umask "$3"
    exec $4 -euc "dr_t=
while IFS= read -r dr_i; do dr_t=\$dr_t\$dr_i\"
\"; done <&3
case \$dr_t in
*\"}
\") eval \"exec 3<&-
unset dr_t dr_i
\$dr_t\" ;;
*) kill -s KILL $$ ;;
esac" 3<&0 0<&4 4<&-
  } >"$dr_f" 2>"$dr_e"
}
if [ -n "$dr_i" ]; then printf "$dr_i" 2>/dev/null | dr_go "$@" 4<&0; else dr_go "$@" 4</dev/null; fi
printf "%-12s\n" "$?" 1<>"$1/rc"
}'
dr_u=$(umask)
umask 077
printf '\n@%s hello\n' "$dr_N"

dr_frame() { # STATE OUT ERR CUT NOTE
  printf '\n@%s reply %s %s %s %s %s %s %s %s\n' "$dr_N" "$1" "${dr_rc:--}" "$2" "$3" "$4" "${dr_b:--}" "${dr_pid:--}" "$5"
}
dr_end() { printf '\n@%s end\n' "$dr_N"; exit 0; }
dr_no() { dr_frame "$1" 0 0 0 "$2"; dr_end; } # STATE NOTE: an answer without outputs

dr_rd() { # read the exit code; false while there is none
  dr_rc=
  { read -r dr_rc dr_x <"$dr_c/rc"; } 2>/dev/null
  case $dr_rc in '' | pending) return 1 ;; esac
}
dr_pidof() { # false while the command is not known to have begun
  dr_pid=
  { read -r dr_pid dr_x <"$dr_c/pid"; } 2>/dev/null
  [ "$dr_pid" != - ] || dr_pid=
  [ -n "$dr_pid" ]
}
dr_put() { printf '%-12s\n' "$1" 1<>"$dr_c/rc"; } # in place: a full disk has room for what was reserved

dr_sum() { # the SHA-256 of the input, or - where the host has nothing for it
  if command -v sha256sum >/dev/null 2>&1; then dr_x=$(sha256sum)
  elif command -v shasum >/dev/null 2>&1; then dr_x=$(shasum -a 256)
  elif command -v openssl >/dev/null 2>&1; then dr_x=$(openssl dgst -sha256 -r)
  else cat >/dev/null && dr_x=-; fi
  printf '%s' "${dr_x%% *}"
}
dr_whole() { # FILE SIZE: the SHA-256 of an output that is over, holds no secret, and is read in about a second
  if [ "$dr_priv" = 0 ] && [ "${dr_rc:-x}" -ge 0 ] 2>/dev/null && [ "$2" -le 268435456 ]; then
    # the status of head stands before the sum: of a part there is no digest to tell
    dr_x=$({ { head -c "$2" "$dr_o/$1"; printf '%s:' "$?" >&3; } | dr_sum; } 3>&1)
    case $dr_x in 0:*) printf %s "${dr_x#0:}" ;; *) printf -- - ;; esac
  else printf -- -; fi
}
dr_part() { # FILE FROM TO: these bytes of an output
  [ "$3" -gt "$2" ] || return 0
  if [ "$2" = 0 ]; then head -c "$3" "$dr_o/$1"; else tail -c "+$(($2 + 1))" "$dr_o/$1" | head -c "$(($3 - $2))"; fi
}
dr_give() { # STATE NOTE: the answer with what the command has written so far
  dr_rd
  dr_pidof
  dr_y=0 dr_z=0 dr_cut=0 dr_o=$dr_c dr_v=-,- dr_w=-,-
  [ -s "$dr_c/vault" ] && read -r dr_o <"$dr_c/vault"
  [ -e "$dr_o/out" ] && [ -e "$dr_o/err" ] || dr_cut=1
  [ -s "$dr_o/out" ] && dr_y=$(wc -c <"$dr_o/out")
  [ -s "$dr_o/err" ] && dr_z=$(wc -c <"$dr_o/err")
  [ -e "$dr_o/out" ] && [ -n "$dr_y" ] && dr_v=$((dr_y)),-
  [ -e "$dr_o/err" ] && [ -n "$dr_z" ] && dr_w=$((dr_z)),-
  [ -n "$dr_y" ] && [ -n "$dr_z" ] || dr_cut=1 # a size that could not be found out is not told as 0
  dr_y=$((dr_y + 0)) dr_z=$((dr_z + 0))
  [ "$dr_y" -gt "$dr_cap" ] && dr_v=$dr_y,$(dr_whole out "$dr_y") && dr_y=$dr_cap dr_cut=1
  [ "$dr_z" -gt "$dr_cap" ] && dr_w=$dr_z,$(dr_whole err "$dr_z") && dr_z=$dr_cap dr_cut=1
  # only what begins with the bytes that came before goes on from there
  [ "${dr_ho:=0}" -le "$dr_y" ] && [ "${dr_he:=0}" -le "$dr_z" ] && [ "$((dr_ho + dr_he))" != 0 ] &&
    [ "$({ dr_part out 0 "$dr_ho" && dr_part err 0 "$dr_he"; } | dr_sum)" = "$dr_hd" ] || dr_ho=0 dr_he=0
  dr_frame "$1" "$((dr_y - dr_ho)),$dr_ho,$dr_v" "$((dr_z - dr_he)),$dr_he,$dr_w" "$dr_cut" "$2"
  dr_part out "$dr_ho" "$dr_y"
  dr_part err "$dr_he" "$dr_z"
  dr_end
}
dr_known() { # WORD: answer for a claim that has an end
  case $dr_rc in
    void) dr_no void "this key was voided before anything was started" ;;
    refused) dr_no refused "this key was refused here before anything was started" ;;
    killed) dr_give killed "ended by drctl earlier" ;;
    *) dr_give "$1" "" ;;
  esac
}

# --- processes ---------------------------------------------------------------------------------------------------------
dr_members() { # dr_l = live processes of session dr_pid; a zombie is dead, whatever kill -0 says
  dr_l=
  if [ ! -r /proc/self/stat ]; then
    kill -0 -- "-$dr_pid" 2>/dev/null && dr_l=$dr_pid
    return 0
  fi
  for dr_f in /proc/[0-9]*/stat; do
    { read -r dr_q <"$dr_f"; } 2>/dev/null || continue
    dr_q=${dr_q##*) }
    case $dr_q in Z* | X*) continue ;; esac
    dr_q=${dr_q#* } && dr_q=${dr_q#* } && dr_q=${dr_q#* }
    [ "${dr_q%% *}" = "$dr_pid" ] || continue
    dr_f=${dr_f#/proc/}
    dr_l="$dr_l ${dr_f%/stat}"
  done
}
dr_left() { # dr_l = processes that carry the cookie of this claim, in whatever session
  dr_l=
  cat /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | grep -q "^DRCTL_CLAIM=$dr_k\$" || return 0
  for dr_f in /proc/[0-9]*/environ; do
    tr '\0' '\n' <"$dr_f" 2>/dev/null | grep -q "^DRCTL_CLAIM=$dr_k\$" || continue
    dr_f=${dr_f#/proc/}
    dr_l="$dr_l ${dr_f%/environ}"
  done 2>/dev/null
}
dr_signal() { # SIGNAL TENTHS: true when the session is gone within so many tenths of a second
  dr_i=0 dr_tick=1
  dr_members
  [ -n "$dr_l" ] || return 0
  kill -s "$1" -- "-$dr_pid" 2>/dev/null
  for dr_f in $dr_l; do kill -s "$1" "$dr_f" 2>/dev/null; done
  while [ "$dr_i" -lt "$2" ]; do
    dr_members
    [ -n "$dr_l" ] || return 0
    [ "$dr_i" -lt 10 ] || dr_tick=5 # looking through thousands of processes takes longer than the nap
    sleep "0.$dr_tick" 2>/dev/null || sleep 1
    dr_i=$((dr_i + dr_tick))
  done
  return 1
}
dr_ours() { # is process dr_pid ours, not another that was given its number? Unreadable counts as ours: it is our user's
  if [ -n "${dr_st:-}" ]; then
    { read -r dr_x <"/proc/$dr_pid/stat"; } 2>/dev/null || return 1
    set -- ${dr_x##*) }
    [ "${20}" = "$dr_st" ]
    return
  fi
  [ -r "/proc/$dr_pid/environ" ] || return 0
  tr '\0' '\n' <"/proc/$dr_pid/environ" 2>/dev/null | grep -q "^DRCTL_CLAIM=$dr_k\$"
}
dr_endall() { # sets dr_l to what could not be ended
  if dr_ours; then dr_signal TERM 50 || dr_signal KILL 30 || return 1; fi
  dr_left
  [ -z "$dr_l" ]
}

if [ "$dr_m" = endlook ]; then
  dr_endall && dr_no killed ""
  dr_no running "processes still alive:$dr_l"
fi

# --- folders, epoch, owner ---------------------------------------------------------------------------------------------
dr_b=
{ read -r dr_b <"${DRCTL_BOOT_ID_FILE:-/proc/sys/kernel/random/boot_id}"; } 2>/dev/null
[ -n "$dr_b" ] || dr_b=$(sysctl -n kern.boottime 2>/dev/null | tr -c '0-9\n' _)
[ -n "$dr_b" ] || dr_no refused "the boot id of this host cannot be read, so a restart could not be told"
if [ -z "$dr_d" ]; then
  [ -n "${XDG_STATE_HOME:-}${HOME:-}" ] || dr_no refused "there is no home folder to keep claims in"
  dr_d=${XDG_STATE_HOME:-$HOME/.local/state}/drctl
fi
dr_r=$dr_d/runs/$dr_run dr_e=$dr_d/runs/$dr_run/epochs dr_s=$dr_d/runs/$dr_run/stage/$dr_k
dr_c=$dr_d/runs/$dr_run/claims/$dr_k
dr_room="cannot write below $dr_d (full, read-only, or not this user's): nothing was started"

dr_post() { # FILE TEXT: make FILE with TEXT in one act, if it is not there
  dr_f=$dr_r/new.$dr_N
  { printf '%s\n' "$2" >"$dr_f" && [ -s "$dr_f" ]; } 2>/dev/null || { rm -f "$dr_f"; dr_no noroom "$dr_room"; }
  ln "$dr_f" "$1" 2>/dev/null
  rm -f "$dr_f"
  [ -s "$1" ] || dr_no noroom "cannot make $1 in one act: $dr_room"
}
dr_newest() { # refuse an older epoch than one seen here, and another holder of the same one
  read -r dr_x dr_y dr_z <"$dr_e/$dr_ep"
  [ "$dr_x" = "$dr_h" ] || dr_no fenced "$dr_ep $dr_x $dr_y $dr_z"
  for dr_f in "$dr_e"/*; do
    [ "${dr_f##*/}" -gt "$dr_ep" ] || continue
    read -r dr_x dr_y dr_z <"$dr_f"
    dr_no fenced "${dr_f##*/} $dr_x $dr_y $dr_z"
  done
}
dr_fence() {
  [ -d "$dr_e" ] || mkdir -p "$dr_e" 2>/dev/null || dr_no noroom "$dr_room"
  [ -e "$dr_e/$dr_ep" ] || dr_post "$dr_e/$dr_ep" "$dr_h $dr_now $dr_op"
  dr_newest
}
dr_last() { # FOLDER: dr_n = the highest epoch in it, 0 without one
  dr_n=0
  for dr_f in "$1"/*; do
    [ "${dr_f##*/}" -gt "$dr_n" ] 2>/dev/null && dr_n=${dr_f##*/}
  done
  return 0
}
dr_whose() { # dr_w dr_x dr_y dr_z = uid id since who of the run whose host this is: the mark's, or whom it was given to
  dr_w= dr_x= dr_y= dr_z= dr_i=0 dr_n=0
  { read -r dr_w dr_x dr_y dr_z <"$dr_d/owner"; } 2>/dev/null
  while [ -n "$dr_w" ] && [ "$dr_i" -lt 20 ]; do
    dr_last "$dr_d/runs/$dr_w/epochs"
    dr_q=
    { read -r dr_q dr_f dr_v <"$dr_d/runs/$dr_w/epochs/$dr_n"; } 2>/dev/null
    case $dr_q in run:*) ;; *) break ;; esac
    dr_q=${dr_q#run:}
    dr_w=${dr_q%%:*} dr_x=${dr_q#*:} dr_y=$dr_f dr_z=$dr_v
    dr_i=$((dr_i + 1))
  done
}
dr_own() { # the run that acts here first holds the host until it gives it back
  [ -e "$dr_d/owner" ] || dr_post "$dr_d/owner" "$dr_run $dr_id $dr_now $dr_op"
  dr_whose
  [ "$dr_w" = "$dr_run" ] || dr_no held "$dr_w $dr_x $dr_y $dr_z"
  [ "$dr_i" != 0 ] || return 0 # given to us: the mark must say so, or giving back would leave it
  { printf '%s\n' "$dr_run $dr_id $dr_now $dr_op" >"$dr_r/new.$dr_N" && [ -s "$dr_r/new.$dr_N" ] &&
    mv -f "$dr_r/new.$dr_N" "$dr_d/owner"; } 2>/dev/null || dr_no noroom "$dr_room"
}
dr_oust() { # the run dr_from is given up: an epoch of its own that we hold refuses it ever after, and gives us its host
  dr_whose
  [ "$dr_w" = "$dr_from" ] || return 0
  dr_f=$dr_d/runs/$dr_from/epochs
  [ -d "$dr_f" ] || mkdir -p "$dr_f" 2>/dev/null || dr_no noroom "$dr_room"
  # made in one act: of several runs that want the host, one gets this number, and dr_own tells the others whose it is
  dr_post "$dr_f/$((dr_n + 1))" "run:$dr_run:$dr_id $dr_now $dr_op"
}
dr_users() { # RUN...: dr_x = the users that these runs became here
  dr_x=
  for dr_w in "$@"; do
    for dr_f in "$dr_d/runs/${dr_w:-none}/as"/*; do [ -d "$dr_f" ] && dr_x="$dr_x ${dr_f##*/}"; done
  done
}

case $dr_m in
  release)
    if [ -d "$dr_e" ]; then dr_fence; fi
    dr_w=
    { read -r dr_w dr_x <"$dr_d/owner"; } 2>/dev/null
    [ "$dr_w" = "$dr_run" ] && rm -f "$dr_d/owner"
    if [ -d "$dr_r" ]; then
      for dr_f in "$dr_r"/claims/*/vault; do
        dr_x=
        { read -r dr_x <"$dr_f"; } 2>/dev/null
        case $dr_x in */drctl*/*) rm -rf "$dr_x" ;; esac
      done
      find "$dr_r/claims" -type f \( -name out -o -name err \) -exec rm -f {} + 2>/dev/null
      rm -rf "$dr_r/stage"
    fi
    # tombstones stay for 90 days, and go a few at a time
    find "$dr_d/runs" -mindepth 1 -maxdepth 1 -type d -mtime +90 2>/dev/null | head -n 20 | while read -r dr_f; do
      [ "${dr_f##*/}" = "$dr_w" ] || rm -rf "$dr_f"
    done
    dr_users "$dr_run"
    dr_no released "$dr_x"
    ;;
  standing) # who owns this host, and the newest epoch of this run; nothing is written
    dr_whose
    dr_o=
    dr_last "$dr_e"
    [ "$dr_n" = 0 ] || { read -r dr_o <"$dr_e/$dr_n"; } 2>/dev/null
    dr_no standing "$dr_n $dr_o	$dr_w $dr_x $dr_y $dr_z"
    ;;
  take)
    dr_fence
    [ -z "$dr_from" ] || dr_oust
    dr_own
    dr_users "$dr_run" "$dr_from"
    dr_y=0 # commands of the run given up that have no end: whoever takes its host must know
    for dr_f in "$dr_d/runs/${dr_from:-none}/claims"/*/rc; do
      { read -r dr_z dr_q <"$dr_f"; } 2>/dev/null && [ "$dr_z" = pending ] && dr_y=$((dr_y + 1))
    done
    dr_no ready "$dr_y$dr_x"
    ;;
  become) # before the first act as another user: the login user's folder holds the host, and remembers whom to give back
    dr_fence
    dr_own
    [ -d "$dr_r/as/$dr_user" ] || mkdir -p "$dr_r/as/$dr_user" 2>/dev/null || dr_no noroom "$dr_room"
    dr_no ready ""
    ;;
  stage)
    dr_fence
    [ -d "$dr_c" ] && dr_no staged "$dr_s/data" # claimed: the command may be reading it, or is over
    [ -d "$dr_s" ] || mkdir -p "$dr_s" 2>/dev/null || dr_no noroom "$dr_room"
    dr_no stage "$dr_s/data"
    ;;
  commit)
    dr_fence
    dr_x=$(wc -c <"$dr_s/data.$dr_part" 2>/dev/null)
    [ "$((dr_x + 0))" = "$dr_size" ] || { rm -f "$dr_s/data.$dr_part"; dr_no noroom "staged $dr_x of $dr_size bytes: $dr_room"; }
    mv -f "$dr_s/data.$dr_part" "$dr_s/data" 2>/dev/null || dr_no noroom "$dr_room"
    dr_no staged "$dr_s/data"
    ;;
esac

# --- the claim ---------------------------------------------------------------------------------------------------------
if [ ! -d "$dr_c" ] && [ "$dr_m" = run ]; then
  command -v setsid >/dev/null 2>&1 || dr_no refused "setsid is missing: a command could not be kept apart from the link"
  dr_fence
  dr_own
elif [ ! -d "$dr_c" ] || [ "$dr_m" = kill ]; then
  dr_fence # an operator who was replaced may still look, and no longer end or void anything
fi
dr_won=0
if [ ! -d "$dr_c" ]; then
  mkdir "$dr_c" 2>/dev/null && dr_won=1
  [ -d "$dr_c" ] || { mkdir -p "$dr_r/claims" 2>/dev/null && mkdir "$dr_c" 2>/dev/null && dr_won=1; }
  [ -d "$dr_c" ] || dr_no noroom "$dr_room"
fi
if [ "$dr_won" = 1 ]; then
  # everything the outcome needs is on the disk before the effect: a host that cannot remember it must refuse it
  {
    printf '%-12s\n' pending >"$dr_c/rc" && printf '%-12s\n' - >"$dr_c/pid" && : >"$dr_c/out" && : >"$dr_c/err" &&
      printf '%s %s %s %s\n' "$dr_b" "$dr_g" "$dr_m" "$dr_now" >"$dr_c/meta" &&
      [ -s "$dr_c/rc" ] && [ -s "$dr_c/pid" ] && [ -s "$dr_c/meta" ]
  } 2>/dev/null || { mv "$dr_c" "$dr_c.$dr_N" && rm -rf "$dr_c.$dr_N"; dr_no noroom "$dr_room"; }
  [ "$dr_m" = run ] || { dr_put void; dr_no void "claimed and voided now"; }
  # an operator who took over or took the host between our look and our claim sees the claim, or we see the operator
  { read -r dr_w dr_x <"$dr_d/owner"; } 2>/dev/null
  [ "$dr_w" = "$dr_run" ] || { dr_put refused; dr_own; dr_no refused "the host was given back while this act came in"; }
  for dr_f in "$dr_e"/*; do [ "${dr_f##*/}" -le "$dr_ep" ] || { dr_put refused; dr_newest; }; done
  dr_o=$dr_c
  if [ "$dr_priv" = 1 ]; then # secrets in outputs: in memory that belongs to this user, or nowhere
    dr_o=none dr_x=$(id -u)
    for dr_f in "${XDG_RUNTIME_DIR:-none}" "/run/user/$dr_x" "/dev/shm/drctl-$dr_x"; do
      case $dr_f in /dev/shm/*) mkdir -m 700 "$dr_f" 2>/dev/null ;; esac
      [ -d "$dr_f" ] && [ ! -L "$dr_f" ] && [ -O "$dr_f" ] && mkdir -p "$dr_f/drctl/$dr_k" 2>/dev/null || continue
      dr_o=$dr_f/drctl/$dr_k
      break
    done
    rm -f "$dr_c/out" "$dr_c/err"
    printf '%s\n' "$dr_o" >"$dr_c/vault" && [ -s "$dr_c/vault" ] || { dr_put refused; dr_no noroom "$dr_room"; }
    [ "$dr_o" = none ] || : >"$dr_o/out" 2>"$dr_o/err" || { dr_put refused; dr_no noroom "$dr_o cannot be written"; }
  fi
  # not the pid: it means nothing after a restart, which the boot in meta tells
  sync "$dr_c/rc" "$dr_c/meta" "$dr_c" "$dr_r/claims" 2>/dev/null
  # in the foreground: a command started by & inherits ignored SIGINT and SIGQUIT for ever
  printf '%s\n' "$dr_p" "$dr_R" | DRCTL_CLAIM=$dr_k DRCTL_STAGE=$dr_s setsid $dr_sh -s "$dr_c" "$dr_o" "$dr_u" "$dr_sh" >/dev/null 2>&1
  dr_rd && dr_known ran
fi

# --- someone was here before -------------------------------------------------------------------------------------------
dr_ob= dr_og= dr_om= dr_i=0
while [ -z "$dr_om" ] && [ "$dr_i" -lt 40 ]; do # another attempt may be between its mkdir and its first write
  { read -r dr_ob dr_og dr_om dr_x <"$dr_c/meta"; } 2>/dev/null
  [ -n "$dr_om" ] && break
  sleep 0.05 2>/dev/null || sleep 1
  dr_i=$((dr_i + 1))
done
[ -n "$dr_om" ] || dr_no indoubt "the claim was made, and whether its command began cannot be told"
[ "$dr_og" = "$dr_g" ] || dr_no digest "claimed for another command (digest $dr_og, not $dr_g)"
dr_rd && dr_known reattached
[ "$dr_om" = run ] || { dr_put void; dr_no void "claimed and voided earlier"; }
[ "$dr_ob" = "$dr_b" ] || dr_give gone "the host was restarted since (boot $dr_ob, now $dr_b): the command began or may have begun, and left no exit code"

if [ "$dr_m" = kill ] && [ "$dr_kill" = 1 ]; then
  dr_i=0
  while ! dr_pidof && [ "$dr_i" -lt 40 ]; do
    sleep 0.05 2>/dev/null || sleep 1
    dr_i=$((dr_i + 1))
  done
  dr_rd && dr_known reattached
  [ -n "$dr_pid" ] || dr_give indoubt "claimed, but its command is not known to have begun, so it cannot be ended"
  : >"$dr_c/ending" 2>/dev/null
  dr_endall || dr_give running "could not be ended: processes still alive:$dr_l"
  dr_rd || dr_put killed
  dr_rd
  [ "$dr_rc" = killed ] && dr_give killed "ended by drctl, and seen to be gone"
  dr_known reattached
fi

dr_i=0 dr_j=0 dr_ms=0
while ! dr_rd; do
  dr_tick=50 dr_nap=0.05
  if dr_pidof; then
    if kill -0 "$dr_pid" 2>/dev/null; then
      [ "$dr_ms" -lt "$((dr_t * 1000))" ] || dr_give running "still running as process $dr_pid"
      [ "$dr_ms" -lt 1000 ] || dr_tick=250 dr_nap=0.25
    else # its shell is gone; whoever ends a command needs a moment to write it down
      dr_j=$((dr_j + 1)) dr_x=10
      [ -e "$dr_c/ending" ] && dr_x=240
      if [ "$dr_j" -gt "$dr_x" ]; then
        dr_left
        [ -z "$dr_l" ] || dr_give running "its shell is gone, processes it started are alive:$dr_l"
        [ -r /proc/self/environ ] || dr_give indoubt "its shell (process $dr_pid) is gone and left no exit code"
        dr_give gone "its shell (process $dr_pid) and all it started are gone, and left no exit code"
      fi
    fi
  else
    dr_j=$((dr_j + 1))
    [ "$dr_j" -le 100 ] || dr_give indoubt "claimed, but its command is not known to have begun"
  fi
  sleep "$dr_nap" 2>/dev/null || sleep 1
  dr_ms=$((dr_ms + dr_tick))
done
dr_known reattached
