# Says of files how large they are and what their hashes are.
#   look.sh FOLDER PATH...
# prints "SHA-256 BYTES PATH" for each that is there.
set -u
cd "$1" || exit 73
shift
for path; do
    [ -f "$path" ] || continue
    sum=$(sha256sum <"$path") || exit 1
    echo "${sum%% *} $(($(wc -c <"$path"))) $path"
done
