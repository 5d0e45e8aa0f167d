# A long step that outlives the connection: started once, followed from anywhere, stopped by name.
#   step.sh run FOLDER NAME KEY OFFSET SCRIPT [FILE...]
#       runs SCRIPT by sh in FOLDER, prints its log from byte OFFSET on until it ends, and on the
#       error output "step again" or "step new", and in the end "step done CODE" or "step gone"
#   step.sh stop FOLDER NAME
# A step that ended well under the same KEY, and whose FILEs are there, is not run again; one that
# runs under it is followed.
set -u
action=$1 folder=$2 name=$3
cd "$folder" || exit 73
place=.deploy/steps/$name
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown)

# Whether the process is there and is the one that was started: not another one with its number,
# and not one that ended and that nobody has taken note of.
running() {
    [ -f "$place/process" ] && [ ! -f "$place/code" ] || return 1
    read -r pid was start <"$place/process"
    [ "$was" = "$boot" ] && kill -0 "$pid" 2>/dev/null || return 1
    now=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null)
    case $now in Z*) return 1 ;; esac
    [ "$(echo "$now" | cut -d ' ' -f 20)" = "$start" ]
}

state() {
    if [ -f "$place/code" ]; then
        echo "done $(cat "$place/code")"
    elif running; then
        echo running
    elif [ -f "$place/code" ]; then
        # It ended between the two questions.
        echo "done $(cat "$place/code")"
    else
        echo gone
    fi
}

pause() { sleep 0.1 2>/dev/null || sleep 1; }

stop() {
    if running; then
        # The step leads a session of its own; where it could not, its children are left to end.
        kill -s TERM -- "-$pid" 2>/dev/null || kill -s TERM "$pid" 2>/dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
            running || break
            pause
        done
        running && kill -s KILL -- "-$pid" 2>/dev/null
    fi
    rm -f "$place/process"
}

# Whether it need not be started; sets `again`.
known() {
    [ "$(cat "$place/key" 2>/dev/null)" = "$1" ] || return 1
    shift
    again=new
    running && return 0
    # It ended while the connection was broken.
    if [ "$offset" -gt 0 ] && [ -f "$place/code" ]; then return 0; fi
    [ "$(cat "$place/code" 2>/dev/null)" = 0 ] || return 1
    for one; do [ -f "$one" ] || return 1; done
    again=again
}

start() {
    stop
    rm -rf "$place" && mkdir -p "$place" || exit 73
    printf '%s\n' "$1" >"$place/key" && printf '%s\n' "$2" >"$place/script" &&
        : >"$place/log" || exit 73
    # shellcheck disable=SC2016  # the inner shell expands these
    inner='
        start=$(sed "s/.*) //" "/proc/$$/stat" 2>/dev/null | cut -d " " -f 20)
        echo "$$ $1 $start" >"$0/process.part" && mv "$0/process.part" "$0/process"
        sh "$0/script" >>"$0/log" 2>&1
        echo $? >"$0/code.part" && mv "$0/code.part" "$0/code"'
    if command -v setsid >/dev/null; then
        setsid sh -c "$inner" "$place" "$boot" </dev/null >/dev/null 2>&1 &
    else
        nohup sh -c "$inner" "$place" "$boot" </dev/null >/dev/null 2>&1 &
    fi
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
        if [ -f "$place/process" ] || [ -f "$place/code" ]; then return; fi
        pause
    done
    exit 73
}

follow() {
    offset=$1
    while :; do
        # Asked before the log is read: what a step wrote last is read after it ended.
        is=$(state)
        size=$(($(wc -c <"$place/log" || echo 0)))
        if [ "$size" -gt "$offset" ]; then
            tail -c +$((offset + 1)) "$place/log" | head -c $((size - offset)) || exit 1
            offset=$size
        fi
        [ "$is" = running ] || break
        pause
    done
    echo "step $is" >&2
}

case $action in
run)
    key=$4 offset=$5 script=$6
    shift 6
    again=new
    if ! known "$key" "$@"; then
        again=new
        # A log that is read further belongs to a step that is gone: it is not started again.
        if [ "$offset" -gt 0 ]; then echo "step gone" >&2; exit 0; fi
        start "$key" "$script"
    fi
    echo "step $again" >&2
    follow "$offset"
    ;;
stop) stop ;;
*) exit 64 ;;
esac
