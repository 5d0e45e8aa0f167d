// What the first bytes of a TensorRT or TensorRT-RTX plan tell; no library needed.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>
#include <vector>

#include "yolov12edge/model_info.hpp"
#include "yolov12edge/status.hpp"

namespace yolov12edge {

namespace detail {

inline std::string dotted(const std::uint8_t* version) {
  std::string text;
  for (int part = 0; part < 4; ++part) {
    text += (part == 0 ? "" : ".") + std::to_string(int{version[part]});
  }
  return text;
}

inline bool has_tag(const std::vector<std::uint8_t>& plan, std::size_t offset, const char* tag) {
  return plan.size() >= offset + 4 && std::memcmp(plan.data() + offset, tag, 4) == 0;
}

inline PlanOrigin read_rtx_header(const std::vector<std::uint8_t>& plan) {
  PlanOrigin origin;
  origin.backend = "tensorrt_rtx";
  origin.version = dotted(plan.data() + 24);
  if (has_tag(plan, 28, "vtrt")) {
    constexpr std::array<int, 6> kCapabilities{75, 80, 86, 89, 120, 121};
    for (std::size_t bit = 0; bit < kCapabilities.size(); ++bit) {
      if ((plan[32] >> bit & 1) != 0) origin.compute_capabilities.push_back(kCapabilities[bit]);
    }
  }
  return origin;
}

}  // namespace detail

// Fails with model_damaged where the bytes are no whole plan. Beginnings: "ftrt" is TensorRT 8.6
// and later with its version at 24, "ptrt" older, "vtrt" TensorRT-RTX with its size at 16.
inline Result<PlanOrigin> read_plan_header(const std::vector<std::uint8_t>& plan) {
  PlanOrigin origin;
  if (detail::has_tag(plan, 0, "vtrt") && plan.size() >= 36) {
    std::uint64_t declared = 0;
    for (std::size_t byte = 0; byte < 8; ++byte) {
      declared |= static_cast<std::uint64_t>(plan[16 + byte]) << (8 * byte);
    }
    if (plan.size() < declared) {
      return Status(StatusCode::model_damaged,
                    "the plan is cut short: " + std::to_string(plan.size()) + " of " +
                        std::to_string(declared) + " bytes");
    }
    return detail::read_rtx_header(plan);
  }
  if (detail::has_tag(plan, 0, "ftrt") && plan.size() >= 28) {
    origin.backend = "tensorrt";
    if (std::memcmp(plan.data() + 4, "\0\0\0\0", 4) == 0) {
      origin.version = detail::dotted(plan.data() + 24);
    }
    return origin;
  }
  if (detail::has_tag(plan, 0, "ptrt")) {
    origin.backend = "tensorrt";
    return origin;
  }
  if (plan.size() > 5 && plan[4] == '{') {
    return Status(StatusCode::model_damaged,
                  "the plan starts with a JSON prefix of Ultralytics; take it off with "
                  "`yolov12edge inspect --strip`");
  }
  return Status(StatusCode::model_damaged, "not a TensorRT or TensorRT-RTX plan");
}

// The header completed by what the description says: the bytes are right where both speak.
inline PlanOrigin merge(const PlanOrigin& header, const PlanOrigin& described) {
  PlanOrigin origin = described;
  origin.backend = header.backend;
  if (!header.version.empty()) origin.version = header.version;
  if (!header.compute_capabilities.empty()) {
    origin.compute_capabilities = header.compute_capabilities;
  }
  if (origin.backend != "tensorrt") {  // these modes are TensorRT's
    origin.hardware_compatibility = "none";
    origin.version_compatible = false;
  }
  return origin;
}

// Operating system and processor this is compiled for, as Python names them.
inline std::string this_platform() {
#if defined(__aarch64__) || defined(_M_ARM64)
  constexpr bool kArm = true;
#else
  constexpr bool kArm = false;
#endif
#if defined(_WIN32)
  return kArm ? "windows-arm64" : "windows-amd64";
#elif defined(__APPLE__)
  return kArm ? "darwin-arm64" : "darwin-x86_64";
#else
  return kArm ? "linux-aarch64" : "linux-x86_64";
#endif
}

// The three checks below decide as plan_origin.py does; both are tested with one table of cases.

// TensorRT's plans do not travel between operating systems and processors.
inline Status check_platform(const PlanOrigin& origin, const std::string& here) {
  if (origin.backend != "tensorrt" || origin.platform.empty() || origin.platform == here) return {};
  return {StatusCode::device_mismatch, "the plan was built on " + origin.platform +
                                           "; this machine is " + here +
                                           ": build it again here, from the ONNX file"};
}

namespace detail {

// The leading numbers of a dotted version, three at most: the build number may differ.
inline std::vector<int> version_numbers(const std::string& version) {
  std::vector<int> numbers;
  std::size_t start = 0;
  while (numbers.size() < 3) {
    const std::size_t end = std::min(version.find('.', start), version.size());
    int number = 0;
    const auto parsed = std::from_chars(version.data() + start, version.data() + end, number);
    if (parsed.ec != std::errc() || parsed.ptr != version.data() + end) break;
    numbers.push_back(number);
    if (end == version.size()) break;
    start = end + 1;
  }
  return numbers;
}

// Version compatible plans came with TensorRT 8.6. They load in later versions, across major ones
// from 8 in 10 and from 10 in 11 only (support matrix of TensorRT 11.4.1).
inline bool loads_in_later(const std::vector<int>& built, const std::vector<int>& here) {
  if (built < std::vector<int>{8, 6} || !(built < here)) return false;
  return built[0] == here[0] || (built[0] == 8 && here[0] == 10) ||
         (built[0] == 10 && here[0] == 11);
}

}  // namespace detail

// Whether the library can load the plan: major, minor and patch have to be the same, as far as
// both versions tell them; version compatible plans load in later versions too.
inline Status check_version(const PlanOrigin& origin, const std::string& backend,
                            const std::string& installed) {
  if (origin.backend != backend) {
    return {StatusCode::model_mismatch,
            "the plan is one of " + origin.backend + ", this program uses " + backend};
  }
  const std::vector<int> built = detail::version_numbers(origin.version);
  const std::vector<int> here = detail::version_numbers(installed);
  const auto told_by_both = static_cast<std::ptrdiff_t>(std::min(built.size(), here.size()));
  if (std::equal(built.begin(), built.begin() + told_by_both, here.begin()) ||
      (origin.version_compatible && detail::loads_in_later(built, here))) {
    return {};
  }
  return {StatusCode::version_mismatch, "the plan was built by " + backend + " " + origin.version +
                                            "; this machine has " + installed +
                                            ": build it again here"};
}

// Whether the GPU, 87 for SM 8.7, is one that the plan was built for.
inline Status check_compute_capability(const PlanOrigin& origin, int capability,
                                       const std::string& gpu) {
  constexpr int kAmpere = 80;
  const std::vector<int>& wanted = origin.compute_capabilities;
  // Such a plan cannot come from an older GPU: what is recorded then is an error.
  const bool from_ampere =
      origin.hardware_compatibility == "ampere_plus" &&
      std::all_of(wanted.begin(), wanted.end(), [](int built) { return built >= kAmpere; });
  if (std::find(wanted.begin(), wanted.end(), capability) != wanted.end() ||
      (from_ampere ? capability >= kAmpere : wanted.empty())) {
    return {};
  }
  std::string listed = from_ampere ? "SM80 and later" : "";
  for (std::size_t index = 0; index < wanted.size() && !from_ampere; ++index) {
    listed += (index == 0 ? "SM" : ", SM") + std::to_string(wanted[index]);
  }
  return {StatusCode::device_mismatch, "the plan was built for " + listed + "; this GPU (" + gpu +
                                           ") is SM" + std::to_string(capability) +
                                           ": build it again here"};
}

}  // namespace yolov12edge
