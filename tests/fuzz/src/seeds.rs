//! Inputs to begin with: small and valid, so that the fuzzer starts behind the first checks. Where the reference data of
//! the specifications lies beside the workspace, its files are seeds too.

use std::fs;
use std::path::Path;

use archive::{Entry, EntryKind, Writer};
use oci::digest::Digest;

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Files of a folder of `../shared/reference`, up to a size that the fuzzer can work with.
fn reference_files(folder: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
    let mut open = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        let mut paths: Vec<_> = fs::read_dir(&path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                open.push(path);
            } else if path.metadata().is_ok_and(|of| of.len() <= 8 << 10) {
                found.extend(fs::read(path));
            }
        }
    }
    found
}

pub(crate) fn specs() -> Vec<Vec<u8>> {
    let mut all = texts(&[
        r#"{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/"},"root":{"path":"rootfs"}}"#,
        r#"{"ociVersion":"1.0.0","hostname":"h","domainname":"d","process":{"terminal":true,"consoleSize":{"height":24,"width":80},"user":{"uid":1,"gid":2,"umask":18,"additionalGids":[3]},"args":["/bin/sh","-c","true"],"env":["PATH=/bin","A=b"],"cwd":"/tmp","capabilities":{"bounding":["CAP_KILL"],"effective":["CAP_KILL"],"permitted":["CAP_KILL"],"ambient":["CAP_KILL"],"inheritable":["CAP_KILL"]},"rlimits":[{"type":"RLIMIT_NOFILE","hard":1024,"soft":512}],"noNewPrivileges":true,"oomScoreAdj":100,"scheduler":{"policy":"SCHED_BATCH","nice":5},"ioPriority":{"class":"IOPRIO_CLASS_IDLE","priority":1},"apparmorProfile":"p","selinuxLabel":"l"},"root":{"path":"/r","readonly":true},"mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},{"destination":"/data","type":"bind","source":"/srv","options":["rbind","ro","rprivate"]},{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["ro"]}],"linux":{"namespaces":[{"type":"pid"},{"type":"mount"},{"type":"network","path":"/run/n"},{"type":"uts"},{"type":"ipc"},{"type":"user"},{"type":"cgroup"},{"type":"time"}],"uidMappings":[{"containerID":0,"hostID":1000,"size":65536}],"gidMappings":[{"containerID":0,"hostID":1000,"size":65536}],"devices":[{"path":"/dev/fuse","type":"c","major":10,"minor":229,"fileMode":438,"uid":0,"gid":0}],"sysctl":{"net.ipv4.ip_forward":"1"},"maskedPaths":["/proc/kcore"],"readonlyPaths":["/proc/sys"],"rootfsPropagation":"slave","mountLabel":"m","personality":{"domain":"LINUX32"},"timeOffsets":{"monotonic":{"secs":1,"nanosecs":2}},"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]},"resources":{"memory":{"limit":1048576},"cpu":{"shares":2},"pids":{"limit":9},"devices":[{"allow":false,"access":"rwm"}]}},"hooks":{"poststop":[{"path":"/bin/true","args":["true"],"env":["A=b"],"timeout":1}]},"annotations":{"a":"b"}}"#,
    ]);
    all.extend(reference_files("oci-runtime-spec/schema/test/config/good"));
    all
}

pub(crate) fn seccomp() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]}],"syscalls":[{"names":["read","write","openat"],"action":"SCMP_ACT_ALLOW"},{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}],"excludes":{"caps":["CAP_SYS_ADMIN"]}},{"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":4294967295,"op":"SCMP_CMP_EQ"}]},{"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}}]}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[{"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":97,"args":[{"index":0,"value":40,"op":"SCMP_CMP_GE"},{"index":1,"value":2,"op":"SCMP_CMP_NE"}]},{"names":["socket"],"action":"SCMP_ACT_TRACE","errnoRet":3,"args":[{"index":0,"value":1,"op":"SCMP_CMP_LT"},{"index":0,"value":9,"op":"SCMP_CMP_GT"},{"index":2,"value":6,"op":"SCMP_CMP_LE"}]},{"names":["kill"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#,
    ])
}

fn tar(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.append_bytes(entry, data).expect("an archive in memory");
    }
    writer.finish().expect("an archive in memory")
}

fn link(kind: EntryKind, path: &str, target: &str) -> Entry {
    Entry {
        link: target.as_bytes().to_vec(),
        ..Entry::new(kind, path, 0o777)
    }
}

fn some_archives() -> Vec<Vec<u8>> {
    let file = |path: &str| Entry::file(path, 0o644, 0);
    let empty: &[u8] = b"";
    let long = format!("d/{}/f", "x".repeat(120));
    vec![
        tar(&[
            (Entry::directory("d", 0o755), empty),
            (file("d/f"), b"hello\n"),
            (file("Dockerfile"), b"FROM scratch\n"),
        ]),
        tar(&[
            (link(EntryKind::Symlink, "l", "../outside"), empty),
            (file("l/secret"), b"x"),
        ]),
        tar(&[
            (file("a"), b"data"),
            (link(EntryKind::HardLink, "b", "a"), empty),
            (file("a"), b"other"),
        ]),
        tar(&[
            (file(".wh..wh..opq"), empty),
            (file(".wh.a"), empty),
            (file("../../secret"), b"x"),
        ]),
        tar(&[
            (file(&long), b"long"),
            (Entry::new(EntryKind::Fifo, "p", 0o600), empty),
        ]),
        tar(&[
            (Entry::directory("./", 0o1777), empty),
            (file(".dockerignore"), b"*\n!a\n"),
            (file("dockerfile"), b"FROM a"),
        ]),
    ]
}

pub(crate) fn archives() -> Vec<Vec<u8>> {
    let with = |choice: u8, archive: &Vec<u8>| [&[choice][..], archive].concat();
    let all = some_archives();
    all.iter()
        .flat_map(|archive| [with(0, archive), with(17, archive), with(30, archive)])
        .collect()
}

pub(crate) fn records() -> Vec<Vec<u8>> {
    texts(&[
        "{\"type\":2,\"payload\":\"aGVhZGVy\",\"position\":0}\n{\"type\":1,\"name\":\"a\",\"size\":6,\"payload\":\"sIGr3Wm8VmA=\",\"position\":1}\n{\"type\":1,\"name\":\"d/b\",\"payload\":null,\"position\":2}\n",
        "{\"type\":1,\"name\":\"out\",\"size\":31,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}\n",
        "{\"type\":1,\"name_raw\":\"dXAvc2VjcmV0\",\"size\":31,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}\n",
    ])
}

pub(crate) fn saved() -> Vec<Vec<u8>> {
    let file = |path: &str| Entry::file(path, 0o644, 0);
    let layer = tar(&[(file("hello"), b"hello\n")]);
    let diff_id = Digest::sha256(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["sh"]}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}},"history":[{{"created_by":"x"}}]}}"#
    );
    let contents = r#"[{"Config":"config.json","RepoTags":["fuzz:latest"],"Layers":["layer.tar"]}]"#;
    let docker = tar(&[
        (file("layer.tar"), &layer),
        (file("config.json"), config.as_bytes()),
        (file("manifest.json"), contents.as_bytes()),
    ]);
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::sha256(bytes).hex());
    let config_digest = Digest::sha256(&config);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config_digest}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{diff_id}","size":{}}}]}}"#,
        config.len(),
        layer.len()
    );
    let digest = Digest::sha256(&manifest);
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"latest","io.containerd.image.name":"docker.io/library/fuzz:latest"}}}}]}}"#,
        manifest.len()
    );
    let layout = tar(&[
        (file("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#),
        (file("index.json"), index.as_bytes()),
        (file(&blob(manifest.as_bytes())), manifest.as_bytes()),
        (file(&blob(config.as_bytes())), config.as_bytes()),
        (file(&blob(&layer)), &layer),
    ]);
    vec![docker, layout]
}

pub(crate) fn references() -> Vec<Vec<u8>> {
    texts(&[
        "busybox\n*",
        "localhost:5000/a/b_c:Tag-1.0\nlocalhost:*/a/*",
        "docker.io/library/x@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "[2001:db8::1]:5000/repo:v1\n[a-z]*",
        "a/b:c@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ])
}

pub(crate) fn digests() -> Vec<Vec<u8>> {
    texts(&[
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "linux/arm/v7",
        "linux/amd64",
        "windows(10.0)/amd64",
        "arm64",
    ])
}

pub(crate) fn manifests() -> Vec<Vec<u8>> {
    let mut all = texts(&[
        "application/vnd.oci.image.manifest.v1+json\n{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":2},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":3,\"urls\":[\"http://a\"]}],\"annotations\":{\"a\":\"b\"}}",
        "application/vnd.docker.distribution.manifest.list.v2+json\n{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\",\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":2,\"platform\":{\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v7\"}},{\"mediaType\":\"x\",\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":2,\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"}}]}",
        "application/json\n{\"schemaVersion\":1}",
        "\n{}",
    ]);
    for file in reference_files("oci-image-spec/schema") {
        all.push([b"\n".as_slice(), &file].concat());
    }
    all
}

pub(crate) fn image_configs() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"created":"2024-01-01T00:00:00Z","author":"a","architecture":"arm","variant":"v7","os":"linux","os.version":"1","config":{"User":"u","ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Entrypoint":["e"],"Cmd":["c"],"Volumes":{"/v":{}},"WorkingDir":"/w","Labels":{"l":"m"},"StopSignal":"SIGTERM","Healthcheck":{"Test":["CMD","true"],"Interval":1000000000},"OnBuild":["RUN x"],"Shell":["/bin/sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[{"created":"2024-01-01T00:00:00.5Z","created_by":"x","comment":"y","empty_layer":true}]}"#,
        r#"{"rootfs":{"type":"layers","diff_ids":null},"config":null,"history":null}"#,
        "{}",
    ])
}

pub(crate) fn dockerfiles() -> Vec<Vec<u8>> {
    let mut all = texts(&[
        "FROM scratch\nCOPY a /b\n",
        "# syntax=docker/dockerfile:1\n# escape=`\nARG V=1\nFROM --platform=linux/amd64 a:${V} AS one\nRUN --mount=type=cache,target=/c,sharing=locked --network=none echo `\n  two\nCOPY --from=one --chown=1:2 --chmod=755 [\"a b\", \"/c/\"]\nFROM one\nENV A=b C=\"d $A\" E\\ F\nLABEL x=y\nEXPOSE 80/tcp $P\nHEALTHCHECK --interval=5s CMD true\nONBUILD RUN x\nSHELL [\"/bin/bash\",\"-c\"]\nUSER ${U:-root}\nVOLUME [\"/v\"]\nWORKDIR /w\nSTOPSIGNAL 9\nENTRYPOINT exec top\nCMD [\"x\"]\n",
        "FROM a\nRUN <<EOF\necho $A\nEOF\nCOPY <<-\"X\" <<Y /d/\n\ttext\nX\nother\nY\nADD --checksum=sha256:aa http://h/f /f\nMAINTAINER me\n",
    ]);
    all.extend(reference_files("dockerfile-parser"));
    all
}

pub(crate) fn ignores() -> Vec<Vec<u8>> {
    texts(&[
        "a/b\n# rules\n*\n!a\n**/c\n",
        "src/x.rs\n/src/*.rs\n!src/[x-z].rs\n",
        "a\n**\n!**/a\n",
        "x/y/z\n\\x/y\n../up\n?/**/z",
    ])
}

pub(crate) fn globs() -> Vec<Vec<u8>> {
    texts(&[
        "abc\na*",
        "a/b\n*/[^c-e]",
        "x-y\n[\\-x]-?",
        "aaaa\n*a*a*b",
        "a*\na\\*",
    ])
}

pub(crate) fn expansions() -> Vec<Vec<u8>> {
    texts(&[
        "\0a $A ${A} ${B:-c} ${A:+d} ${EMPTY-e} ${A:?no}",
        "\0'$A' \"$A\" \\$A",
        "\0${LONG#x*y} ${LONG##*x} ${LONG%y} ${LONG/xy/z} ${LONG//x/${A}}",
        "\x07$WORDS $NONE ${NONE}",
        "\x10`$A ${B:-${C:-${A}}}",
    ])
}

pub(crate) fn queries() -> Vec<Vec<u8>> {
    texts(&[
        "all=1&filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%7D&t=10",
        r#"{"name":["a","b"],"dangling":["true"]}"#,
        r#"{"id":{"x":false}}"#,
        "name=a+b&name=c&t=",
    ])
}

pub(crate) fn create_bodies() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"Image":"a","Cmd":["x"],"Entrypoint":"sh","Env":["A=b"],"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["NONE"]},"HostConfig":{"Binds":["/a:/b:ro"],"PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3},"Ulimits":[{"Name":"nofile","Soft":1,"Hard":2}],"Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1}}],"LogConfig":{"Type":"json-file","Config":{"max-size":"1k"}}},"NetworkingConfig":{"EndpointsConfig":{"n":{"Aliases":["a"],"IPAMConfig":{"IPv4Address":"10.0.0.2"}}}}}"#,
        r#"{"Name":"n","Driver":"bridge","IPAM":{"Config":[{"Subnet":"10.0.0.0/24","Gateway":"10.0.0.1"}]},"Options":{"a":"b"}}"#,
        r#"{"Name":"v","Driver":"local","DriverOpts":{"type":"tmpfs"},"Labels":{"a":"b"}}"#,
        r#"{"AttachStdout":true,"Cmd":["ls"],"Env":["A=b"],"DetachKeys":"ctrl-p","Tty":false}"#,
    ])
}

pub(crate) fn challenges() -> Vec<Vec<u8>> {
    texts(&[
        "Bearer realm=\"https://auth/token\",service=\"reg\",scope=\"repository:a/b:pull,push\"",
        "Basic realm=\"x\", Bearer realm=r",
        "Negotiate, Bearer service=\"a \\\"b\\\"\",realm=q",
    ])
}

pub(crate) fn credentials() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"username":"u","password":"p","serveraddress":"h"}"#,
        r#"{"identitytoken":"t"}"#,
        "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAifQ==",
        "eyJsb2NhbGhvc3Q6NTAwMCI6eyJhdXRoIjoiZFRwdyJ9fQ==",
    ])
}

pub(crate) fn frames() -> Vec<Vec<u8>> {
    texts(&[
        "\x03\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\x02no",
        "\x01\x03\0\0\0\0\0\0\x04oops",
        "\x10\x01\0\0\0\0\0\0\0",
    ])
}

pub(crate) fn registry_configs() -> Vec<Vec<u8>> {
    texts(&[
        "{}",
        r#"{"listen":"127.0.0.1:5000","root":"/var/lib/x"}"#,
        r#"{"policies":[{"repositories":"a/**","keep":5,"older_than":"7d"}],"quota":"10GB"}"#,
    ])
}

pub(crate) fn logs() -> Vec<Vec<u8>> {
    texts(&[
        "\x20{\"log\":\"hello\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00.123456789Z\"}\n{\"log\":\"part\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"b\"},\"time\":\"2024-01-01T00:00:01Z\"}\n",
        "\x12{\"log\":\"\\u00e9\\ud83d\\ude00\\u0000\\n\",\"stream\":\"stdout\",\"time\":\"2024-02-29T23:59:59.9+02:00\"}\n{\"log\":",
        "\x01\0\0\0\x08",
    ])
}

pub(crate) fn outputs() -> Vec<Vec<u8>> {
    texts(&[
        "\x04one\ntwo\nthree",
        "\x07\u{e9}\u{1f600}\0\x1b[1m\n\n\n",
        "\x01\r\nno end",
        "\x12<&>\u{2028}\"\\\n",
    ])
}

pub(crate) fn formats() -> Vec<Vec<u8>> {
    texts(&[
        "{{.A}} {{json .}} {{printf \"%5d|%-4s|%x\" .N .A .A}}\n{\"A\":\"b\",\"N\":3,\"L\":[1,2]}",
        "{{range $i, $e := .L}}{{if gt $i 0}}, {{end}}{{$e}}{{else}}none{{end}}\n{\"L\":[1,2.5,null]}",
        "{{define \"x\"}}{{.}}{{end}}{{template \"x\" .A}}{{with .B}}{{.C}}{{end}}{{index .L 0}}{{len .A}}{{- /* c */ -}}\n{\"A\":\"b\",\"B\":{\"C\":true},\"L\":[\"z\"]}",
        "{{.A | upper | printf \"%q\"}}{{split .A \"b\"}}{{join .L \",\"}}{{slice .A 0 1}}{{and .A (or .B .C)}}\n{\"A\":\"abc\",\"L\":[\"x\"]}",
    ])
}

pub(crate) fn flags() -> Vec<Vec<u8>> {
    texts(&[
        "-p\n127.0.0.1:80-82:8080-8082/udp\n--publish\n[::1]:1:2",
        "--mount\ntype=bind,src=/a,dst=/b,readonly,bind-propagation=rslave\n--mount\n\"type=volume,volume-opt=o=x,y\",dst=/c",
        "--ulimit\nnofile=1024:2048\n-m\n1.5g\n--cpus\n0.5\n--memory-swap\n-1\n--shm-size=64m",
        "-v\n/a:/b:ro,z\n-v\nname:/c\n--tmpfs\n/t:size=1k\n--device\n/dev/null:/dev/x:rw\n--device-read-bps\n/dev/sda:1mb",
        "--network\nname=n,alias=a,ip=10.0.0.2\n--add-host\nh:1.2.3.4\n--dns\n8.8.8.8\n--restart\non-failure:3\n--health-cmd\ntrue\n--health-interval\n1m30s",
        "--sysctl\na.b=c\n--label\nx=y\n--gpus\n\"device=0,1\"\n--storage-opt\nsize=1g\n--log-opt\nmax-size=1k\n--blkio-weight\n100",
    ])
}

/// A message with the sequence number 1.
fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((16 + payload.len() as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(1_u32.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((4 + payload.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(crate) fn netlink() -> Vec<Vec<u8>> {
    let done = message(3, 2, &[0; 4]);
    let link = [
        [0; 16].to_vec(),
        attribute(3, b"eth0\0"),
        attribute(1, &[2, 0, 0, 0, 0, 1]),
        attribute(4, &1500_u32.to_ne_bytes()),
        attribute(18, &attribute(1, b"veth\0")),
    ]
    .concat();
    let address = [
        [2, 24, 0, 0, 1, 0, 0, 0].to_vec(),
        attribute(1, &[10, 0, 0, 1]),
        attribute(2, &[10, 0, 0, 1]),
    ]
    .concat();
    let route = [
        [2, 24, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0].to_vec(),
        attribute(1, &[10, 0, 0, 0]),
        attribute(4, &[1, 0, 0, 0]),
    ]
    .concat();
    let rule = [
        [1, 0, 0, 0].to_vec(),
        attribute(1, b"t\0"),
        attribute(2, b"c\0"),
        attribute(3, &7_u64.to_be_bytes()),
        attribute(4, &attribute(1, &attribute(1, b"counter\0"))),
        attribute(7, &[0, 3, b'd', b'h', 0]),
    ]
    .concat();
    let element = [
        [1, 0, 0, 0].to_vec(),
        attribute(3, &attribute(1, &attribute(1, &attribute(1, &[0, 80])))),
    ]
    .concat();
    let error = message(
        2,
        0x300,
        &[
            (-2_i32).to_ne_bytes().to_vec(),
            vec![0; 16],
            attribute(1, b"why\0"),
        ]
        .concat(),
    );
    let ask = |choice: u8, parts: &[&[u8]]| [&[choice][..], &parts.concat()].concat();
    vec![
        ask(0, &[&message(16, 2, &link), &done]),
        ask(1, &[&message(16, 0, &link)]),
        ask(2, &[&message(20, 2, &address), &done]),
        ask(3, &[&message(24, 2, &route), &done]),
        ask(
            4,
            &[
                &message(
                    28,
                    2,
                    &[
                        [2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0].to_vec(),
                        attribute(1, &[10, 0, 0, 2]),
                        attribute(2, &[2, 0, 0, 0, 0, 1]),
                    ]
                    .concat(),
                ),
                &done,
            ],
        ),
        ask(6, &[&message(0xa06, 2, &rule), &done]),
        ask(7, &[&message(0xa0c, 2, &element), &done]),
        ask(10, &[&error]),
        ask(
            11,
            &[
                &message(
                    0x100,
                    2,
                    &[
                        [2, 0, 0, 0].to_vec(),
                        attribute(1, &attribute(1, &attribute(1, &[10, 0, 0, 1]))),
                    ]
                    .concat(),
                ),
                &done,
            ],
        ),
    ]
}
