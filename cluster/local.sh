#!/usr/bin/env bash
# A Ray cluster on this machine, which `orchestrator run` joins and `orchestrator submit` submits to.
#
#   cluster/local.sh start     # a head node with all CPUs and GPUs, on the loopback address
#   orchestrator run jobs/quickstart.yaml
#   cluster/local.sh stop      # ends every Ray process of this user on this machine
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

case "${1:-}" in
  start) exec ray start --head --node-ip-address 127.0.0.1 ;;
  stop) exec ray stop ;;
  *)
    echo "usage: $0 start|stop" >&2
    exit 2
    ;;
esac
