# Takes files from the input into incoming/, where settle.sh looks at them.
#   receive.sh FOLDER          a tar archive
#   receive.sh FOLDER PATH     more bytes of one file
set -eu
cd "$1"
mkdir -p incoming
if [ $# -eq 1 ]; then
    cd incoming
    # -m: as new as they are here, whatever the clocks say, so that make compiles what changed.
    exec tar -xmf -
fi
case $2 in */*) mkdir -p "incoming/${2%/*}" ;; esac
cat >>"incoming/$2"
