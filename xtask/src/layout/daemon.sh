# Containers under the daemon: $1 is its folder, $2 a folder for all that it keeps, with a root file system.

# Whoever watches says when.
read -r go || true

mount -t tmpfs tmpfs /run
echo '{}' >$2/daemon.json
$1/dhowd --config-file $2/daemon.json --data-root $2/data --exec-root $2/exec --host unix://$2/engine.sock --bridge none \
    >$2/daemon.log 2>&1 &
daemon=$!
export DOCKER_HOST=unix://$2/engine.sock
until $1/dhow version >$2/said 2>&1; do
    kill -0 $daemon || { cat $2/daemon.log; exit 1; }
done
tar --create --directory $2/runtime-root bin | $1/dhow import - layout >$2/said
$1/dhow run --rm --network none layout /bin/busybox echo a line
$1/dhow run --rm --network none --tty layout /bin/busybox true
$1/dhow run --detach --name one --init --network none --restart always --memory 64m layout /bin/busybox sleep 10000 >$2/said
$1/dhow exec one /bin/busybox true
$1/dhow stats --no-stream >$2/said
$1/dhow stop --time 1 one >$2/said
$1/dhow rm one >$2/said
kill $daemon
wait $daemon
