// Detection in the background: frames go into a queue, worker threads share the weights.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "yolov12edge/detector.hpp"

namespace yolov12edge {

// Any thread may submit. The destructor finishes what is queued. `Thread` is another type than
// std::thread in tests only.
template <typename Thread>
class BasicAsyncDetector {
 public:
  // Fails where the prototype cannot be cloned, or no thread be started, for every worker. `queue`
  // is the number of frames that may wait; submit() blocks while it is full.
  static Result<std::unique_ptr<BasicAsyncDetector>> create(const Detector& prototype,
                                                            int workers = 1, int queue = 4) {
    if (workers < 1 || queue < 1) {
      return Status(StatusCode::invalid_argument, "workers and queue start at 1");
    }
    std::vector<Detector> detectors;
    for (int index = 0; index < workers; ++index) {
      Result<Detector> detector = prototype.clone();
      if (!detector) return detector.status();
      detectors.push_back(std::move(*detector));
    }
    std::unique_ptr<BasicAsyncDetector> made(
        new BasicAsyncDetector(std::move(detectors), static_cast<std::size_t>(queue)));
    if (Status status = made->start(); !status.ok()) return status;
    return made;
  }

  BasicAsyncDetector(const BasicAsyncDetector&) = delete;
  BasicAsyncDetector& operator=(const BasicAsyncDetector&) = delete;

  // Also ends the workers of a create() that failed half way.
  ~BasicAsyncDetector() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    filled_.notify_all();
    for (Thread& worker : workers_) worker.join();
  }

  // Copies the frame and returns at once, unless the queue is full.
  std::future<Result<Detections>> submit(const ImageView& image,
                                         const DecodeOptions& options = {}) {
    Job job;
    job.options = options;
    std::future<Result<Detections>> future = job.promise.get_future();
    const Result<ImageView> valid = checked(image);
    if (!valid) {
      job.promise.set_value(valid.status());
      return future;
    }
    job.keep(*valid);
    {
      std::unique_lock lock(mutex_);
      freed_.wait(lock, [this] { return jobs_.size() < queue_; });
      jobs_.push_back(std::move(job));
    }
    filled_.notify_one();
    return future;
  }

 private:
  struct Job {
    std::vector<std::uint8_t> pixels;
    ImageView image;
    DecodeOptions options;
    std::promise<Result<Detections>> promise;

    void keep(const ImageView& source) {
      const std::size_t row = static_cast<std::size_t>(source.width) *
                              static_cast<std::size_t>(bytes_per_pixel(source.format));
      const bool nv12 = source.format == PixelFormat::nv12;
      const auto rows = static_cast<std::size_t>(source.height);
      pixels.resize(row * (nv12 ? rows + rows / 2 : rows));
      copy(pixels.data(), source.data, source.stride, row, rows);
      if (nv12) {
        copy(pixels.data() + row * rows, source.chroma, source.chroma_stride, row, rows / 2);
      }
      image = ImageView{pixels.data(), source.width, source.height, 0, source.format};
    }

    static void copy(std::uint8_t* to, const std::uint8_t* from, std::ptrdiff_t stride,
                     std::size_t row, std::size_t rows) {
      for (std::size_t index = 0; index < rows; ++index, to += row, from += stride) {
        std::memcpy(to, from, row);
      }
    }
  };

  BasicAsyncDetector(std::vector<Detector> detectors, std::size_t queue)
      : queue_(queue), detectors_(std::move(detectors)) {}

  Status start() {
    workers_.reserve(detectors_.size());
    for (Detector& detector : detectors_) {
      try {
        workers_.emplace_back([this, &detector] { work(detector); });
      } catch (const std::system_error& error) {
        return {StatusCode::runtime_failure,
                "cannot start worker " + std::to_string(workers_.size() + 1) + " of " +
                    std::to_string(detectors_.size()) + ": " + error.what()};
      }
    }
    return {};
  }

  void work(Detector& detector) {
    while (true) {
      Job job;
      {
        std::unique_lock lock(mutex_);
        filled_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
        if (jobs_.empty()) return;
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      freed_.notify_one();
      job.promise.set_value(detect(detector, job));
    }
  }

  static Result<Detections> detect(Detector& detector, const Job& job) {
    try {
      return detector.detect(job.image, job.options);
    } catch (const std::bad_alloc&) {
      return Status(StatusCode::out_of_memory, "not enough memory for the detections");
    }
  }

  std::mutex mutex_;
  std::condition_variable filled_, freed_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::size_t queue_;
  std::vector<Detector> detectors_;
  std::vector<Thread> workers_;
};

using AsyncDetector = BasicAsyncDetector<std::thread>;

}  // namespace yolov12edge
