# Which files are there, and which are to be sent: from "SHA-256 BYTES PATH" lines on the input.
#   settle.sh FOLDER
# A file that came whole into incoming/ moves to its place. One line a file is printed:
#   ok 0 PATH        it is there, with this hash
#   need BYTES PATH  it is not; so many bytes of it are in incoming/ already
#   wrong 0 PATH     it came whole, and with another hash; it was removed
set -u
cd "$1" || exit 73
mkdir -p incoming || exit 73
digest() {
    sum=$(sha256sum <"$1") || return 1
    echo "${sum%% *}"
}
while read -r sum bytes path; do
    if [ -f "$path" ] && [ "$(wc -c <"$path")" -eq "$bytes" ] && [ "$(digest "$path")" = "$sum" ]
    then
        rm -f "incoming/$path"
        echo "ok 0 $path"
        continue
    fi
    have=0
    if [ -f "incoming/$path" ]; then have=$(($(wc -c <"incoming/$path"))); fi
    if [ "$have" -lt "$bytes" ] || [ ! -f "incoming/$path" ]; then
        echo "need $have $path"
    elif [ "$have" -eq "$bytes" ] && [ "$(digest "incoming/$path")" = "$sum" ]; then
        case $path in */*) mkdir -p "${path%/*}" || exit 73 ;; esac
        mv -f "incoming/$path" "$path" || exit 73
        echo "ok 0 $path"
    else
        rm -f "incoming/$path"
        echo "wrong 0 $path"
    fi
done
