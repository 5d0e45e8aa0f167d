# A long step that outlives the connection: started once, followed from anywhere, stopped by name.
#   step.sh start FOLDER NAME KEY SCRIPT   runs SCRIPT by sh in FOLDER; prints done, running, started
#   step.sh follow FOLDER NAME OFFSET      its log from byte OFFSET on, until it ends
#   step.sh state FOLDER NAME              prints "done CODE", "running" or "gone"
#   step.sh stop FOLDER NAME
#   step.sh forget FOLDER NAME             it is not done, whatever its key
# A step that ended well under the same KEY is not run again.
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

pause() { sleep 0.2 2>/dev/null || sleep 1; }

stop() {
    if running; then
        # The step leads a session of its own; where it could not, its children are left to end.
        kill -s TERM -- "-$pid" 2>/dev/null || kill -s TERM "$pid" 2>/dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
            running || break
            pause
        done
        running && kill -s KILL -- "-$pid" 2>/dev/null
    fi
    rm -f "$place/process"
}

case $action in
start)
    key=$4 script=$5
    if [ "$(cat "$place/key" 2>/dev/null)" = "$key" ]; then
        case $(state) in
        "done 0") echo "done"; exit 0 ;;
        running) echo running; exit 0 ;;
        esac
    fi
    stop
    rm -rf "$place" && mkdir -p "$place" || exit 73
    printf '%s\n' "$key" >"$place/key" && printf '%s\n' "$script" >"$place/script" &&
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
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        if [ -f "$place/process" ] || [ -f "$place/code" ]; then break; fi
        pause
    done
    [ -f "$place/process" ] || [ -f "$place/code" ] || exit 73
    echo started
    ;;
follow)
    offset=$4
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
    ;;
state) state ;;
stop) stop ;;
forget) rm -rf "$place" ;;
*) exit 64 ;;
esac
