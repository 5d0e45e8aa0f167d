// Summaries of measured times, as Python's: see yolov12edge/bench/statistics.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

namespace yolov12edge::apps {

using Times = std::vector<double>;

// Linear between ranks, as NumPy's default.
inline double percentile(Times times, double share) {
  std::sort(times.begin(), times.end());
  const double rank = share * static_cast<double>(times.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const std::size_t above = std::min(below + 1, times.size() - 1);
  return times[below] + (rank - std::floor(rank)) * (times[above] - times[below]);
}

inline double median(const Times& times) { return percentile(times, 0.5); }

inline double mean(const Times& times) {
  return std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size());
}

// Mean of the fastest tenth, at least one: the calls that nothing else on the machine disturbed.
inline double undisturbed(Times times) {
  const std::size_t count = (times.size() + 9) / 10;
  std::sort(times.begin(), times.end());
  times.resize(count);
  return mean(times);
}

// Of the sample; 0 for one time.
inline double standard_deviation(const Times& times) {
  if (times.size() < 2) return 0.0;
  const double middle = mean(times);
  double squares = 0;
  for (const double time : times) squares += (time - middle) * (time - middle);
  return std::sqrt(squares / static_cast<double>(times.size() - 1));
}

}  // namespace yolov12edge::apps
