"""Prints what picklescan says of pickles: a line `FILE DANGEROUS` each, for the files named on standard input.

`picklescan_verdicts.py globals` prints its list of what is dangerous instead, as lines `MODULE NAME`.
"""

import sys

from picklescan import scanner


def listed():
    for module, names in scanner._unsafe_globals.items():
        if names == "*":
            names = {"anything"}
        elif isinstance(names, str):
            names = {names}
        for name in sorted(names):
            yield module, name


if sys.argv[1:] == ["globals"]:
    for pair in listed():
        print(*pair)
else:
    for line in sys.stdin:
        path = line.rstrip("\n")
        result = scanner.scan_file_path(path)
        print(path, any(found.safety is scanner.SafetyLevel.Dangerous for found in result.globals))
