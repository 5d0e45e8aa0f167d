# What this machine is, as "NAME TAB VALUE" lines between a first and a last line. It changes nothing.
#   probe.sh FOLDER LIBRARY
# FOLDER is where a deploy will work (it need not be there yet), LIBRARY an unpacked OpenVINO, ONNX
# Runtime or TensorRT, or "".
set -u
folder=$1 library=$2

say() {
    value=$(printf '%s' "$2" | tr -d '\000-\010\013-\037\177' | tr '\n\t' '  ' | cut -c 1-4000)
    [ -z "$value" ] || printf '%s\t%s\n' "$1" "$value"
}
first() { head -n 1 2>/dev/null; }
has() { command -v "$1" >/dev/null 2>&1; }
# The first of these files that is there.
found() { for one; do if [ -e "$one" ]; then printf '%s' "$one"; return; fi; done; }
field() { sed -n "s/^$1[[:space:]]*:[[:space:]]*//p" /proc/cpuinfo 2>/dev/null | first; }
kibibytes() { sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" /proc/meminfo 2>/dev/null; }

echo "yolov12edge-probe 1"
say hostname "$(hostname 2>/dev/null || uname -n)"
say user "$(id -un 2>/dev/null)"
say home "${HOME:-}"
say kernel "$(uname -sr)"
say architecture "$(uname -m)"
say system "$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release 2>/dev/null | first)"

processor=$(field 'model name')
[ -n "$processor" ] || { has lscpu && processor=$(lscpu 2>/dev/null | sed -n 's/^Model name:[[:space:]]*//p' | first); }
say processor "$processor"
# nproc counts what OMP_NUM_THREADS leaves, where that is set.
say cores "$(unset OMP_NUM_THREADS OMP_THREAD_LIMIT; nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"
features=$(field flags)
say features "${features:-$(field Features)}"
say memory_kib "$(kibibytes MemTotal)"
say memory_free_kib "$(kibibytes MemAvailable)"
place=$folder
while [ -n "$place" ] && [ ! -d "$place" ]; do
    case $place in */*) place=${place%/*} ;; *) place=. ;; esac
done
say disk_free_kib "$(df -Pk "${place:-/}" 2>/dev/null | sed -n '$s/.*[[:space:]]\([0-9][0-9]*\)[[:space:]][[:space:]]*[0-9]*%.*/\1/p')"

# Jetson
say board "$({ tr -d '\000' </proc/device-tree/model; } 2>/dev/null)"
say l4t "$(head -n 1 /etc/nv_tegra_release 2>/dev/null)"
has dpkg-query && say jetpack "$(dpkg-query -W -f '${Version}' nvidia-jetpack 2>/dev/null)"
mode=$(sed -n 's/.*pmode:\([0-9]*\).*/\1/p' /var/lib/nvpmodel/status 2>/dev/null | first)
if [ -n "$mode" ]; then
    number=$(echo "$mode" | sed 's/^0*\([0-9]\)/\1/')
    name=$(sed -n "s/.*POWER_MODEL[[:space:]]*ID=${number}[[:space:]]*NAME=\([^ >]*\).*/\1/p" /etc/nvpmodel.conf 2>/dev/null | first)
    say power_mode "${name:-mode $number}"
fi
say governor "$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null)"

# GPU, TensorRT, CUDA
if has nvidia-smi; then
    say gpu "$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | first)"
    say compute_capability "$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | first | tr -d .)"
    say driver "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | first)"
fi
trtexec=$(command -v trtexec 2>/dev/null)
[ -n "$trtexec" ] || trtexec=$(found "${library:+$library/bin/trtexec}" "${TENSORRT_ROOT:+$TENSORRT_ROOT/bin/trtexec}" \
    /usr/src/tensorrt/bin/trtexec /opt/tensorrt/bin/trtexec)
say trtexec "$trtexec"
version=
if has dpkg-query; then
    for package in libnvinfer-bin libnvinfer-dev libnvinfer11 libnvinfer10 libnvinfer8; do
        version=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null)
        [ -z "$version" ] || break
    done
fi
if [ -z "$version" ]; then
    header=$(found "${library:+$library/include/NvInferVersion.h}" "${TENSORRT_ROOT:+$TENSORRT_ROOT/include/NvInferVersion.h}" \
        "/usr/include/$(uname -m)-linux-gnu/NvInferVersion.h" /usr/include/NvInferVersion.h)
    if [ -n "$header" ]; then
        part() { sed -n "s/^#define \(NV_TENSORRT_$1\|TRT_$1_ENTERPRISE\) \([0-9][0-9]*\).*/\2/p" "$header" | first; }
        version=$(part MAJOR).$(part MINOR).$(part PATCH)
    fi
fi
say tensorrt "$version"
cuda=$(found "${CUDA_HOME:+$CUDA_HOME/version.json}" /usr/local/cuda/version.json)
[ -z "$cuda" ] || say cuda "$(tr -d '\n' <"$cuda" | sed -n 's/.*"cuda"[^}]*"version"[^"]*"\([0-9.]*\)".*/\1/p' | first)"

# What runs ONNX files on a CPU
openvino=$(found ${library:+"$library/runtime/cmake/OpenVINOConfig.cmake" "$library/cmake/OpenVINOConfig.cmake" "$library/OpenVINOConfig.cmake"} \
    ${INTEL_OPENVINO_DIR:+"$INTEL_OPENVINO_DIR/runtime/cmake/OpenVINOConfig.cmake"} \
    /opt/intel/openvino*/runtime/cmake/OpenVINOConfig.cmake "$HOME"/openvino*/runtime/cmake/OpenVINOConfig.cmake \
    "$folder"/openvino*/runtime/cmake/OpenVINOConfig.cmake /usr/lib/*/cmake/openvino*/OpenVINOConfig.cmake)
if [ -n "$openvino" ]; then
    say openvino "${openvino%/*}"
    number() { sed -n "s/^set(PACKAGE_VERSION_$1 \"\{0,1\}\([0-9]*\).*/\1/p" "${openvino%/*}/OpenVINOConfig-version.cmake" 2>/dev/null | first; }
    version=$(number MAJOR).$(number MINOR).$(number PATCH)
    [ "$version" = .. ] || say openvino_version "$version"
fi
for root in ${library:+"$library"} ${ONNXRUNTIME_ROOT:+"$ONNXRUNTIME_ROOT"} /opt/onnxruntime* "$HOME"/onnxruntime* \
    "$folder"/onnxruntime* /usr/local /usr; do
    header=$(found "$root/include/onnxruntime_c_api.h" "$root/include/onnxruntime/onnxruntime_c_api.h" \
        "$root/include/onnxruntime/core/session/onnxruntime_c_api.h")
    if [ -n "$header" ]; then
        say onnxruntime "$root"
        version=$(cat "$root/VERSION_NUMBER" 2>/dev/null)
        [ -n "$version" ] || version=$(found "$root"/lib/libonnxruntime.so.*.* | sed 's/.*\.so\.//')
        say onnxruntime_version "$version"
        break
    fi
done

# What compiles and transfers
for one in g++ clang++ c++; do
    if has "$one"; then
        say compiler "$one $("$one" -dumpfullversion 2>/dev/null || "$one" -dumpversion)"
        break
    fi
done
has cmake && say cmake "$(cmake --version 2>/dev/null | sed -n 's/cmake version //p' | first)"
if has make; then say make make; elif has ninja; then say make ninja; fi
tools=
for one in tar sha256sum setsid tail head xargs awk; do if has "$one"; then tools="$tools $one"; fi; done
say tools "$tools"
echo "yolov12edge-probe end"
