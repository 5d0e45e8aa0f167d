# Says of files how large they are and what their hashes are, and brings the small ones at once.
#   bring.sh FOLDER MOST PATH...
# prints "SHA-256 BYTES PATH" for each that is there, an empty line, then the contents of those of
# at most MOST bytes, one after the other.
set -u
cd "$1" || exit 73
most=$2
shift 2
for path; do
    [ -f "$path" ] || continue
    sum=$(sha256sum <"$path") || exit 1
    echo "${sum%% *} $(($(wc -c <"$path"))) $path"
done
echo
for path; do
    if [ -f "$path" ] && [ "$(wc -c <"$path")" -le "$most" ]; then cat "$path" || exit 1; fi
done
