#!/usr/bin/env bash
#SBATCH --job-name=itermask2
#SBATCH --array=1-100
#SBATCH --cpus-per-task=1
#SBATCH --mem=6G
#SBATCH --time=24:00:00
#SBATCH --requeue
# A study in shares, one per task of the array. SCANS and RESULTS are on a disk that all computers see:
#   sbatch scripts/slurm_array.sh SCANS RESULTS [options of itermask2 segment]
# When all have ended, the same without shares makes one report (and does what a task left undone):
#   itermask2 segment SCANS -o RESULTS
set -euo pipefail
# as many as --array says; a task that is started again alone needs it
shares=${SHARES:-100}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
itermask2 segment "$1" -o "$2" --shard "$SLURM_ARRAY_TASK_ID/$shares" --progress false "${@:3}"
