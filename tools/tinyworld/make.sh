#!/bin/bash
# make.sh FOLDER: makes the tiny world, stage by stage. What is finished is not made again, and a stage that was
# stopped goes on from its last checkpoint. The finished world is FOLDER/tinyworld.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
out=${1:?usage: make.sh FOLDER}
python=${PYTHON:-python3}
export OMP_WAIT_POLICY=passive HF_HUB_DISABLE_PROGRESS_BARS=1
mkdir -p "$out"

stage() { # stage RESULT SCRIPT ARGUMENTS...: RESULT is there only when the stage is finished
    local result=$1 log
    shift
    log=$(basename "$1" .py).log
    [ -e "$result" ] && return
    echo "$(date +%T) $*" | tee -a "$log"
    "$python" "$here/$@" >>"$log" 2>&1 &
    echo $! >train.pid # to stop it (TERM), or to let it pause (STOP, CONT)
    wait $!
    [ -e "$result" ]
}

cd "$out"
stage bank/scenes.npz bank.py bank
stage clip clip.py bank clip.pt clip --steps 1600
stage vae vae.py bank vae.pt vae --steps 2500
stage bank/encoded.npy encode.py bank vae clip
stage unet-2000.pt unet.py bank unet.pt vae clip sd --steps 8000 --until 2000
stage unet-4000.pt unet.py bank unet.pt vae clip sd --steps 8000 --until 4000
stage unet-6000.pt unet.py bank unet.pt vae clip sd --steps 8000 --until 6000
stage sd unet.py bank unet.pt vae clip sd --steps 8000
stage lcm.safetensors lcm.py bank lcm.pt clip unet.pt lcm.safetensors
[ -e clip/adapter-penultimate.safetensors ] || PYTHON=$python "$here/joint.sh" "$PWD/clip" joint
stage tinyworld finish.py sd clip lcm.safetensors tinyworld
