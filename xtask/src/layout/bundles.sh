# Bundles, as a higher engine drives the runtime: $1 is the runtime, $2 the folder of the bundles.

# Whoever watches says when.
read -r go || true

runtime="$1 --root $2/state"
# One with all namespaces of its own, as the runtime itself proposes.
mkdir $2/bundle-own
cp -r $2/runtime-root $2/bundle-own/rootfs
$runtime spec --bundle $2/bundle-own
sed -i 's|"terminal": true|"terminal": false|; s|"sh"|"busybox", "true"|' $2/bundle-own/config.json
for bundle in own true true-seccomp; do
    $runtime run --bundle $2/bundle-$bundle layout-run
    $runtime run --bundle $2/bundle-$bundle layout-run </dev/null >$2/said 2>&1
    echo a line | $runtime run --bundle $2/bundle-$bundle layout-run 2>$2/said | cat
done
for bundle in sleep sleep-seccomp; do
    $runtime create --bundle $2/bundle-$bundle layout-create
    $runtime start layout-create
    $runtime state layout-create >$2/said
    $runtime exec layout-create /bin/busybox true
    $runtime kill layout-create KILL
    $runtime delete --force layout-create
done
