# Clocks, load and temperatures of this moment, as "NAME TAB VALUE" lines.
set -u
say() {
    value=$(printf '%s' "$2" | tr -d '\000-\010\013-\037\177' | tr '\n\t' '  ' | cut -c 1-2000)
    [ -z "$value" ] || printf '%s\t%s\n' "$1" "$value"
}
say load "$(cut -d ' ' -f 1 /proc/loadavg 2>/dev/null)"
say cpu_khz "$(cat /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq 2>/dev/null)"
say cpu_mhz "$(sed -n 's/^cpu MHz[[:space:]]*: //p' /proc/cpuinfo 2>/dev/null)"
for zone in /sys/class/thermal/thermal_zone*; do
    kind=$(cat "$zone/type" 2>/dev/null) || continue
    degrees=$(cat "$zone/temp" 2>/dev/null) || continue
    say "zone $kind" "$degrees"
done
for device in /sys/class/thermal/cooling_device*; do
    level=$(cat "$device/cur_state" 2>/dev/null) || continue
    [ "$level" = 0 ] || say "cooling $(cat "$device/type" 2>/dev/null)" "$level"
done
mode=$(sed -n 's/.*pmode:0*\([0-9][0-9]*\).*/\1/p' /var/lib/nvpmodel/status 2>/dev/null | head -n 1)
say power_mode "$mode"
if command -v tegrastats >/dev/null; then
    # It prints until it is stopped.
    say tegrastats "$( (tegrastats --interval 100 & p=$!; sleep 1; kill "$p") 2>/dev/null | head -n 1)"
fi
if command -v nvidia-smi >/dev/null; then
    fields=name,clocks.gr,clocks.mem,temperature.gpu,power.draw,power.limit,driver_version,memory.total
    say nvidia_smi "$(nvidia-smi --query-gpu=$fields --format=csv,noheader,nounits 2>/dev/null | head -n 1)"
fi
exit 0
