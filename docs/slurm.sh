#!/usr/bin/env bash
# Build a zoo on several nodes of a Slurm cluster: a Ray cluster inside one allocation.
#
#   sbatch --nodes 8 --gpus-per-node 4 docs/slurm.sh formal-languages --gpus 32 --out /shared/zoos/formal-languages
#
# All arguments go to `rnnzoo build`. The --out folder must be shared by all nodes (or name a --units URL). If the
# job ends early (time limit, lost nodes), submit the same command again: only what is missing is trained.
#SBATCH --job-name=rnnzoo
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=08:00:00
set -euo pipefail

# On all nodes, the environment that rnnzoo[build,cluster] is installed in.
source "${RNNZOO_ENVIRONMENT:-$HOME/rnnzoo}/bin/activate"

nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
address=$(srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000))
gpus=${SLURM_GPUS_ON_NODE:-0}
common=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus" --disable-usage-stats --block)

# --overlap: the build itself runs beside Ray in the same allocation.
srun --overlap --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" \
    ray start --head --node-ip-address="$address" --port="$port" --include-dashboard=false "${common[@]}" &
ray_processes=($!)
trap 'kill "${ray_processes[@]}" 2>/dev/null || true; wait' EXIT

until ray health-check --address "$address:$port" 2>/dev/null; do
    kill -0 "${ray_processes[0]}" || { echo "Ray did not start on ${nodes[0]}" >&2; exit 1; }
    sleep 2
done
for node in "${nodes[@]:1}"; do
    srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" ray start --address="$address:$port" "${common[@]}" &
    ray_processes+=($!)
done

# Nodes join while others already work, but --gpus is checked against those that are there.
expected=${#nodes[@]}
until [ "$(python -c "import ray; ray.init('$address:$port', logging_level='ERROR'); print(len(ray.nodes()))")" -ge "$expected" ]; do
    sleep 2
done
srun --overlap --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" rnnzoo build "$@" --ray "$address:$port"
