#!/bin/sh
# build.sh TORCH LIBRARY: compiles fake_cuda.cpp for the libtorch in the folder TORCH.
set -eu
exec c++ -O1 -shared -fPIC -std=c++17 -Wl,-soname,libtorch_cuda.so "$(dirname "$0")/fake_cuda.cpp" -o "$2" \
    -isystem "$1/include" -isystem "$1/include/torch/csrc/api/include" -L "$1/lib" -ltorch_cpu -lc10
