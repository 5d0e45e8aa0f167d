# Holds a folder for one deploy, as long as somebody keeps this script's input open.
#   hold.sh FOLDER OWNER [LEFT]
# prints "held", or "busy OWNER" where another one holds it. A holder that is gone, or that belongs
# to OWNER itself (a connection that broke without a word) or to LEFT, loses its hold.
set -u
folder=$1 owner=$2 left=${3:-$2}
lock=$folder/.deploy/lock
mkdir -p "$folder/.deploy" || exit 73
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown)

try=0
while ! mkdir "$lock" 2>/dev/null; do
    [ -d "$lock" ] || exit 73
    pid=$(sed -n 1p "$lock/holder" 2>/dev/null) was=$(sed -n 2p "$lock/holder" 2>/dev/null)
    by=$(sed -n 3p "$lock/holder" 2>/dev/null)
    alive='no'
    if [ -n "$pid" ] && [ "$was" = "$boot" ] && kill -0 "$pid" 2>/dev/null; then alive='yes'; fi
    # Between mkdir and the first line of a holder a moment passes.
    if [ -z "$pid" ] && [ "$try" -lt 3 ]; then alive='wait'; fi
    if [ "$alive" = yes ] && { [ "$by" = "$owner" ] || [ "$by" = "$left" ]; }; then
        kill "$pid" 2>/dev/null
        alive='wait'
    fi
    try=$((try + 1))
    if [ "$alive" = yes ] || { [ "$alive" = wait ] && [ "$try" -gt 6 ]; }; then
        echo "busy $by"
        exit 0
    fi
    if [ "$alive" = wait ]; then sleep 1; continue; fi
    # Only one of several takes the stale lock away.
    mv "$lock" "$lock.$$" 2>/dev/null && rm -rf "$lock.$$"
done
release() { rm -rf "$lock"; }
trap 'release; exit 0' TERM HUP INT PIPE
if ! printf '%s\n%s\n%s\n' "$$" "$boot" "$owner" >"$lock/holder.part" ||
    ! mv "$lock/holder.part" "$lock/holder"
then
    release
    exit 73
fi
echo held
# In the background, so that a signal does not have to wait for it; there, input 0 is /dev/null.
exec 3<&0
cat <&3 >/dev/null &
wait $!
release
