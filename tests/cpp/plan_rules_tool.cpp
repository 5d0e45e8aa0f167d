// Says of plans and machines whether one loads on the other: one case a line on stdin, its facts
// separated by tabs, and a verdict a line on stdout. See test_plan_rules.py.

#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "yolov12edge/plan_header.hpp"

namespace {

using namespace yolov12edge;

const char* verdict(const std::vector<std::string>& facts) {
  PlanOrigin described;
  described.version = facts[1];
  std::istringstream capabilities(facts[2]);
  for (int one = 0; capabilities >> one;) described.compute_capabilities.push_back(one);
  described.hardware_compatibility = facts[3];
  described.version_compatible = facts[4] == "True";
  described.platform = facts[5];
  PlanOrigin header;
  header.backend = facts[0];
  const PlanOrigin origin = merge(header, described);
  if (!check_platform(origin, facts[8]).ok()) return "platform_mismatch";
  if (!check_version(origin, facts[0], facts[6]).ok()) return "version_mismatch";
  if (!check_compute_capability(origin, std::stoi(facts[7]), "some GPU").ok()) {
    return "device_mismatch";
  }
  return "loads";
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<std::string> facts(1);
    for (const char letter : line) {
      if (letter == '\t') {
        facts.emplace_back();
      } else {
        facts.back() += letter;
      }
    }
    if (facts.size() != 9) return 1;
    std::puts(verdict(facts));
  }
  return 0;
}
