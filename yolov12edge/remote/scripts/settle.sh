# Which files are there, and which are to be sent: from "SHA-256 BYTES PATH" lines on the input.
#   settle.sh FOLDER
# A file that came whole into incoming/ moves to its place. One line a file is printed:
#   ok 0 PATH        it is there, with this hash
#   need BYTES PATH  it is not; so many bytes of it are in incoming/ already
#   wrong 0 PATH     it came whole, and with another hash; it was removed
set -u
cd "$1" || exit 73
mkdir -p incoming .deploy || exit 73
cat >.deploy/wanted || exit 73

# One process hashes all that is there, and one compares.
hashes=$(while read -r _ _ path; do
    if [ -f "$path" ]; then printf '%s\0' "$path"; fi
done <.deploy/wanted | xargs -0 -r sha256sum)

printf '%s\n' "$hashes" | awk '
    NR == FNR { found[$2] = $1; next }
    found[$3] == $1 { print "ok", $0; next }
    { print "miss", $0 }' - .deploy/wanted |
while read -r state sum bytes path; do
    part=incoming/$path
    if [ "$state" = ok ]; then
        if [ -f "$part" ]; then rm -f "$part"; fi
        echo "ok 0 $path"
        continue
    fi
    have=0
    if [ -f "$part" ]; then have=$(($(wc -c <"$part"))); fi
    if [ "$have" -lt "$bytes" ] || [ ! -f "$part" ]; then
        echo "need $have $path"
        continue
    fi
    whole=$(sha256sum <"$part")
    if [ "$have" -eq "$bytes" ] && [ "${whole%% *}" = "$sum" ]; then
        case $path in */*) [ -d "${path%/*}" ] || mkdir -p "${path%/*}" || exit 73 ;; esac
        mv -f "$part" "$path" || exit 73
        echo "ok 0 $path"
    else
        rm -f "$part"
        echo "wrong 0 $path"
    fi
done
