// What went wrong, as a code for programs and a line for people.
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <utility>

namespace yolov12edge {

// The numbers are part of the C API and of exit codes; do not reorder.
enum class StatusCode : int {
  ok = 0,
  invalid_argument = 1,  // an image, size or option that makes no sense
  file_not_found = 2,    // a file is missing or cannot be read
  model_damaged = 3,     // truncated, or not a model at all
  model_mismatch = 4,    // a whole model, but not the one the constants describe
  version_mismatch = 5,  // built by another version of the runtime
  device_mismatch = 6,   // no such device here, or built for another GPU
  unsupported = 7,       // this build or backend cannot do that
  out_of_memory = 8,
  runtime_failure = 9,  // the backend refused or failed
  invalid_output = 10,  // the model's output holds NaN or infinity
};

inline const char* name_of(StatusCode code) noexcept {
  switch (code) {
    case StatusCode::ok: return "ok";
    case StatusCode::invalid_argument: return "invalid argument";
    case StatusCode::file_not_found: return "file not found";
    case StatusCode::model_damaged: return "model damaged";
    case StatusCode::model_mismatch: return "model mismatch";
    case StatusCode::version_mismatch: return "version mismatch";
    case StatusCode::device_mismatch: return "device mismatch";
    case StatusCode::unsupported: return "unsupported";
    case StatusCode::out_of_memory: return "out of memory";
    case StatusCode::runtime_failure: return "runtime failure";
    case StatusCode::invalid_output: return "invalid output";
  }
  return "unknown status";
}

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const noexcept { return code_ == StatusCode::ok; }
  StatusCode code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }

 private:
  StatusCode code_ = StatusCode::ok;
  std::string message_;
};

// A value, or the status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) { assert(!status_.ok()); }

  bool ok() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  const Status& status() const noexcept { return status_; }

  T& operator*() & noexcept { return *value_; }
  const T& operator*() const& noexcept { return *value_; }
  T&& operator*() && noexcept { return std::move(*value_); }
  T* operator->() noexcept { return &*value_; }
  const T* operator->() const noexcept { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace yolov12edge
