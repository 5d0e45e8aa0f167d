// Stands in for the runtime's open.hpp: a device that answers with outputs from files.
//
// The model folder holds first.output and again.output, what the device computes when it is run
// once and once more, and a text file, precision. Where there is many.output, a device opened for
// several images yields that in the last place of its batch.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "yolov12edge/detector.hpp"
#include "yolov12edge/model_file.hpp"

#define YOLOV12EDGE_BACKEND_NAME "replay"

namespace yolov12edge {

class ReplayBackend final : public Backend {
 public:
  ReplayBackend(const ModelInfo& info, std::vector<Bytes> answers, Bytes many, int batch)
      : info_(info),
        batch_(many.empty() ? 1 : batch),
        input_(3U * pixels() * static_cast<std::size_t>(batch_)),
        output_(answers.front().size() / sizeof(float) * static_cast<std::size_t>(batch_)),
        answers_(std::move(answers)),
        many_(std::move(many)) {}

  std::string description() const override { return "replay"; }
  int max_batch() const noexcept override { return batch_; }
  int height() const noexcept override { return info_.letterbox.height; }
  int width() const noexcept override { return info_.letterbox.width; }
  int classes() const noexcept override { return info_.classes(); }
  int anchors() const noexcept override {
    return static_cast<int>(output_.size()) / batch_ / (4 + classes());
  }
  float* input() noexcept override { return input_.data(); }
  const float* output() const noexcept override { return output_.data(); }

  Status infer(int) override {
    const Bytes& answer = answers_[run_++ % answers_.size()];
    for (int place = 0; place < batch_; ++place) {
      const bool last = batch_ > 1 && place == batch_ - 1;
      const auto offset = static_cast<std::size_t>(place) * answer.size() / sizeof(float);
      std::memcpy(output_.data() + offset, (last ? many_ : answer).data(), answer.size());
    }
    return {};
  }

  Result<std::unique_ptr<Backend>> clone() const override {
    return Status(StatusCode::unsupported, "one replay is enough");
  }

 private:
  std::size_t pixels() const noexcept {
    return static_cast<std::size_t>(info_.letterbox.width) *
           static_cast<std::size_t>(info_.letterbox.height);
  }

  ModelInfo info_;
  int batch_;
  std::vector<float> input_, output_;
  std::vector<Bytes> answers_;
  Bytes many_;
  std::size_t run_ = 0;
};

inline Result<Detector> open_detector(const std::string& folder, ModelInfo info,
                                      const BackendOptions& options = {}) {
  const Result<Bytes> precision = read_file(join_path(folder, "precision"));
  if (!precision) return precision.status();
  info.precision.assign(precision->begin(), precision->end());
  std::vector<Bytes> answers;
  for (const char* name : {"first.output", "again.output"}) {
    Result<Bytes> answer = read_file(join_path(folder, name));
    if (!answer) return answer.status();
    answers.push_back(std::move(*answer));
  }
  Result<Bytes> many = read_file(join_path(folder, "many.output"));
  auto backend = std::make_unique<ReplayBackend>(info, std::move(answers),
                                                 many ? std::move(*many) : Bytes(), options.batch);
  return Detector::create(std::move(backend), std::move(info));
}

}  // namespace yolov12edge
