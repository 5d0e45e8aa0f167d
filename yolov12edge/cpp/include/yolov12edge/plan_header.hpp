// What the first bytes of a TensorRT or TensorRT-RTX plan tell; no library needed.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
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
      return Status(StatusCode::model_damaged, "the plan is cut short: " +
                                                   std::to_string(plan.size()) + " of " +
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
  return origin;
}

// Whether a library can load the plan: major, minor and patch have to be the same.
inline Status check_version(const PlanOrigin& origin, const std::string& backend,
                            const std::string& installed) {
  if (origin.backend != backend) {
    return {StatusCode::model_mismatch,
            "the plan is one of " + origin.backend + ", this program uses " + backend};
  }
  const auto three = [](const std::string& version) {
    std::size_t end = 0;
    for (int part = 0; part < 3 && end != std::string::npos; ++part) {
      end = version.find('.', end + (part == 0 ? 0 : 1));
    }
    return version.substr(0, end);
  };
  const std::string built = three(origin.version);
  if (built.empty() || origin.version_compatible) return {};
  // "8.5" says less than "8.5.3": compare what both say.
  const std::string here = three(installed);
  if (here == built || here.compare(0, built.size() + 1, built + ".") == 0) return {};
  return {StatusCode::version_mismatch,
          "the plan was built by " + backend + " " + origin.version + "; this machine has " +
              installed + ": build it again here"};
}

inline Status check_compute_capability(const PlanOrigin& origin, int capability,
                                       const std::string& gpu) {
  if (origin.compute_capabilities.empty() || origin.hardware_compatible) return {};
  std::string listed;
  for (const int built : origin.compute_capabilities) {
    if (built == capability) return {};
    listed += (listed.empty() ? "SM" : ", SM") + std::to_string(built);
  }
  return {StatusCode::device_mismatch, "the plan was built for " + listed + "; this GPU (" + gpu +
                                           ") is SM" + std::to_string(capability) +
                                           ": build it again here"};
}

}  // namespace yolov12edge
