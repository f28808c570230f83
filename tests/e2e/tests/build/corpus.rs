//! Dockerfiles, each for one rule of Docker's reference, with what the reference says must come of it.

use std::fs;

use e2e::{Client, Settings, daemon, daemon_with, for_each_client};

use super::{build, context};

/// What must come of a Dockerfile.
pub(super) enum Expect {
    /// `image inspect --format` gives this.
    Config(&'static str, &'static str),
    /// A shell line run in the image prints this.
    Prints(&'static str, &'static str),
    /// The newest line of the history.
    History(&'static str),
    /// The build fails, and says this.
    Fails(&'static str),
}
use Expect::{Config, Fails, History, Prints};

/// The rule, the Dockerfile, and what must come of it.
pub(super) type Case = (&'static str, &'static str, Expect);

/// The cases that can be built.
pub(super) const BUILT: &[&[Case]] = &[CONFIGURATION, FILES, LATER];

const CONFIGURATION: &[Case] = &[
    (
        "ENV old form",
        "FROM busybox\nENV a b c\n",
        Prints("echo \"$a\"", "b c"),
    ),
    (
        "ENV with quotes",
        "FROM busybox\nENV a=\"b c\" d=e\\ f\n",
        Prints("echo \"$a,$d\"", "b c,e f"),
    ),
    (
        "ENV sees the values before its line",
        "FROM busybox\nENV a=1\nENV a=2 b=$a\n",
        Prints("echo $b", "1"),
    ),
    (
        "ENV escaped dollar",
        "FROM busybox\nENV a=\\$x\n",
        Prints("echo \"$a\"", "$x"),
    ),
    (
        "ENV default form",
        "FROM busybox\nENV a=${none:-x}${PATH:+y}\n",
        Prints("echo $a", "xy"),
    ),
    (
        "ENV overrides ARG",
        "FROM busybox\nARG v=arg\nENV v=env\nRUN echo $v > /v\n",
        Prints("cat /v", "env"),
    ),
    (
        "ARG is not in the image",
        "FROM busybox\nARG v=arg\nRUN echo $v > /v\n",
        Prints("cat /v; echo \"[$v]\"", "arg\n[]"),
    ),
    (
        "ARG before FROM is not in the stage",
        "ARG v=x\nFROM busybox\nRUN echo \"[$v]\" > /v\n",
        Prints("cat /v", "[]"),
    ),
    (
        "ARG takes the global default",
        "ARG v=x\nFROM busybox\nARG v\nRUN echo \"[$v]\" > /v\n",
        Prints("cat /v", "[x]"),
    ),
    (
        "ARG default with a variable",
        "FROM busybox\nARG a=1\nARG b=${a}2\nRUN echo $b > /v\n",
        Prints("cat /v", "12"),
    ),
    (
        "ARG of the platform",
        "FROM busybox\nARG TARGETOS\nRUN echo $TARGETOS > /v\n",
        Prints("cat /v", "linux"),
    ),
    (
        "CMD exec form",
        "FROM busybox\nCMD [\"a\", \"b\"]\n",
        Config("{{json .Config.Cmd}}", "[\"a\",\"b\"]"),
    ),
    (
        "CMD shell form",
        "FROM busybox\nCMD a b\n",
        Config("{{json .Config.Cmd}}", "[\"/bin/sh\",\"-c\",\"a b\"]"),
    ),
    (
        "CMD malformed JSON is shell form",
        "FROM busybox\nCMD ['a']\n",
        Config("{{json .Config.Cmd}}", "[\"/bin/sh\",\"-c\",\"['a']\"]"),
    ),
    (
        "the last CMD counts",
        "FROM busybox\nCMD [\"a\"]\nCMD [\"b\"]\n",
        Config("{{json .Config.Cmd}}", "[\"b\"]"),
    ),
    (
        "ENTRYPOINT resets the base's CMD",
        "FROM busybox\nENTRYPOINT [\"e\"]\n",
        Config("{{json .Config.Cmd}}", "null"),
    ),
    (
        "ENTRYPOINT keeps the own CMD",
        "FROM busybox\nCMD [\"c\"]\nENTRYPOINT [\"e\"]\n",
        Config(
            "{{json .Config.Entrypoint}}{{json .Config.Cmd}}",
            "[\"e\"][\"c\"]",
        ),
    ),
    (
        "ENTRYPOINT and CMD together",
        "FROM busybox\nENTRYPOINT [\"echo\", \"a\"]\nCMD [\"b\"]\n",
        Config("{{json .Config.Entrypoint}}", "[\"echo\",\"a\"]"),
    ),
    (
        "SHELL changes the shell form",
        "FROM busybox\nSHELL [\"/bin/sh\", \"-ec\"]\nCMD x\n",
        Config("{{json .Config.Cmd}}", "[\"/bin/sh\",\"-ec\",\"x\"]"),
    ),
    (
        "SHELL runs RUN",
        "FROM busybox\nSHELL [\"/bin/sh\", \"-xc\"]\nRUN echo $- > /v\n",
        Prints("grep -c x /v", "1"),
    ),
    (
        "LABEL several",
        "FROM busybox\nLABEL a=1 \"b c\"=\"d e\"\n",
        Config("{{index .Config.Labels \"b c\"}}", "d e"),
    ),
    (
        "LABEL of the base is kept",
        "FROM busybox AS b\nLABEL a=1\nFROM b\nLABEL c=2\n",
        Config("{{.Config.Labels.a}}{{.Config.Labels.c}}", "12"),
    ),
    (
        "MAINTAINER",
        "FROM busybox\nMAINTAINER me <me@x>\n",
        Config("{{.Author}}", "me <me@x>"),
    ),
    (
        "EXPOSE",
        "FROM busybox\nEXPOSE 80 53/udp\n",
        Config("{{json .Config.ExposedPorts}}", "{\"53/udp\":{},\"80/tcp\":{}}"),
    ),
    (
        "EXPOSE a range and a variable",
        "FROM busybox\nENV p=7000-7001\nEXPOSE $p\n",
        Config(
            "{{json .Config.ExposedPorts}}",
            "{\"7000/tcp\":{},\"7001/tcp\":{}}",
        ),
    ),
    (
        "VOLUME both forms",
        "FROM busybox\nVOLUME /a /b\nVOLUME [\"/c\"]\n",
        Config("{{json .Config.Volumes}}", "{\"/a\":{},\"/b\":{},\"/c\":{}}"),
    ),
    (
        "USER",
        "FROM busybox\nRUN chmod 777 /tmp\nUSER guest\nRUN id -un > /tmp/v\n",
        Prints("cat /tmp/v; id -un", "guest\nguest"),
    ),
    (
        "USER with a variable",
        "FROM busybox\nENV u=1000:2000\nUSER $u\n",
        Config("{{.Config.User}}", "1000:2000"),
    ),
    (
        "WORKDIR is made",
        "FROM busybox\nWORKDIR /a/b\n",
        Prints("pwd", "/a/b"),
    ),
    (
        "WORKDIR relative",
        "FROM busybox\nWORKDIR /a\nWORKDIR b\nWORKDIR ../c\n",
        Config("{{.Config.WorkingDir}}", "/a/c"),
    ),
    (
        "WORKDIR with a variable",
        "FROM busybox\nENV d=/x\nWORKDIR $d/y\nRUN pwd > /v\n",
        Prints("cat /v", "/x/y"),
    ),
    (
        "STOPSIGNAL",
        "FROM busybox\nSTOPSIGNAL SIGINT\n",
        Config("{{.Config.StopSignal}}", "SIGINT"),
    ),
    (
        "HEALTHCHECK",
        "FROM busybox\nHEALTHCHECK --interval=5s --retries=2 CMD true\n",
        Config(
            "{{json .Config.Healthcheck.Test}}{{.Config.Healthcheck.Retries}}",
            "[\"CMD-SHELL\",\"true\"]2",
        ),
    ),
    (
        "HEALTHCHECK NONE",
        "FROM busybox\nHEALTHCHECK NONE\n",
        Config("{{json .Config.Healthcheck.Test}}", "[\"NONE\"]"),
    ),
    (
        "ONBUILD is kept",
        "FROM busybox\nONBUILD RUN echo x\n",
        Config("{{json .Config.OnBuild}}", "[\"RUN echo x\"]"),
    ),
    (
        "ONBUILD is run",
        "FROM busybox AS b\nONBUILD RUN echo x > /v\nFROM b\n",
        Prints("cat /v", "x"),
    ),
    (
        "ONBUILD is not passed on",
        "FROM busybox AS b\nONBUILD RUN true\nFROM b\n",
        Config("{{json .Config.OnBuild}}", "null"),
    ),
    (
        "history of CMD",
        "FROM busybox\nCMD [\"sh\"]\n",
        History("/bin/sh -c #(nop)  CMD [\"sh\"]"),
    ),
    (
        "history of RUN",
        "FROM busybox\nRUN true\n",
        History("/bin/sh -c true"),
    ),
    (
        "history of RUN with arguments",
        "FROM busybox\nARG a=b\nRUN true\n",
        History("|1 a=b /bin/sh -c true"),
    ),
    (
        "history of WORKDIR",
        "FROM busybox\nWORKDIR /x\n",
        History("/bin/sh -c #(nop) WORKDIR /x"),
    ),
    (
        "scratch gets Docker's PATH",
        "FROM scratch\nCOPY a.txt /\n",
        Config(
            "{{json .Config.Env}}",
            "[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"]",
        ),
    ),
    (
        "escape directive",
        "# escape=`\nFROM busybox\nRUN echo a `\n  b > /v\n",
        Prints("cat /v", "a b"),
    ),
    (
        "comments inside of an instruction",
        "FROM busybox\nRUN echo a \\\n # no\n  b > /v\n",
        Prints("cat /v", "a b"),
    ),
    (
        "lower case and a byte order mark",
        "\u{feff}from busybox\nrun echo a > /v\n",
        Prints("cat /v", "a"),
    ),
    (
        "syntax directive needs no pull",
        "# syntax=docker/dockerfile:1\nFROM busybox\nRUN echo a > /v\n",
        Prints("cat /v", "a"),
    ),
];

const FILES: &[Case] = &[
    (
        "COPY a file",
        "FROM busybox\nCOPY a.txt /x\n",
        Prints("cat /x; stat -c '%a %u:%g' /x", "a.txt\n644 0:0"),
    ),
    (
        "COPY into a directory",
        "FROM busybox\nCOPY a.txt /d/\n",
        Prints("ls /d; stat -c %a /d", "a.txt\n755"),
    ),
    (
        "COPY to a directory that is there",
        "FROM busybox\nCOPY a.txt /etc\n",
        Prints("cat /etc/a.txt; stat -c %a /etc", "a.txt\n755"),
    ),
    (
        "COPY relative to WORKDIR",
        "FROM busybox\nWORKDIR /w\nCOPY a.txt .\n",
        Prints("ls", "a.txt"),
    ),
    (
        "COPY a directory's content",
        "FROM busybox\nCOPY dir /d\n",
        Prints("ls /d; stat -c %a /d/sub/y", "sub\nup\nx\n640"),
    ),
    (
        "COPY keeps links",
        "FROM busybox\nCOPY dir /d\n",
        Prints("readlink /d/up", "../a.txt"),
    ),
    (
        "COPY follows a link that is named",
        "FROM busybox\nCOPY link /x\n",
        Prints("test -L /x || cat /x", "a.txt"),
    ),
    (
        "COPY wildcards",
        "FROM busybox\nCOPY *.txt /d/\n",
        Prints("ls /d", "a.txt\nb.txt"),
    ),
    (
        "COPY question mark",
        "FROM busybox\nCOPY ?.txt /d/\n",
        Prints("ls /d", "a.txt\nb.txt"),
    ),
    (
        "COPY classes",
        "FROM busybox\nCOPY [a].txt /d/\n",
        Prints("ls /d", "a.txt"),
    ),
    (
        "COPY several",
        "FROM busybox\nCOPY a.txt run.sh /d/\n",
        Prints("ls /d; stat -c %a /d/run.sh", "a.txt\nrun.sh\n755"),
    ),
    (
        "COPY JSON with a space",
        "FROM busybox\nCOPY [\"with space\", \"/d/\"]\n",
        Prints("ls /d", "with space"),
    ),
    (
        "COPY with variables",
        "FROM busybox\nENV f=a.txt d=/q\nCOPY $f ${d}/\n",
        Prints("ls /q", "a.txt"),
    ),
    (
        "COPY --chown by name",
        "FROM busybox\nCOPY --chown=guest a.txt /x\n",
        Prints("stat -c %u:%g /x", "1000:1000"),
    ),
    (
        "COPY --chown user and group",
        "FROM busybox\nCOPY --chown=guest:extra a.txt /n/x\n",
        Prints("stat -c %u:%g /n /n/x", "1000:2000\n1000:2000"),
    ),
    (
        "COPY --chown numbers",
        "FROM busybox\nCOPY --chown=7:8 a.txt /x\n",
        Prints("stat -c %u:%g /x", "7:8"),
    ),
    (
        "COPY --chmod octal",
        "FROM busybox\nCOPY --chmod=600 a.txt /x\n",
        Prints("stat -c %a /x", "600"),
    ),
    (
        "COPY --from a stage",
        "FROM busybox AS one\nRUN echo s > /s\nFROM busybox\nCOPY --from=one /s /t\n",
        Prints("cat /t", "s"),
    ),
    (
        "COPY --from a number",
        "FROM busybox\nRUN echo s > /s\nFROM busybox\nCOPY --from=0 /s /t\n",
        Prints("cat /t", "s"),
    ),
    (
        "COPY --from an image",
        "FROM scratch\nCOPY --from=busybox / /\n",
        Prints("id -un", "root"),
    ),
    (
        "COPY --from keeps owners",
        "FROM busybox AS o\nRUN echo x > /x && chown 5:6 /x\nFROM busybox\nCOPY --from=o /x /x\n",
        Prints("stat -c %u:%g /x", "5:6"),
    ),
    (
        "a stage on a stage",
        "FROM busybox AS one\nENV a=b\nRUN echo s > /s\nFROM one\n",
        Prints("cat /s; echo $a", "s\nb"),
    ),
    (
        "a stage that is not needed is not built",
        "FROM busybox AS bad\nRUN exit 1\nFROM busybox\nRUN echo a > /v\n",
        Prints("cat /v", "a"),
    ),
    (
        "COPY over a file",
        "FROM busybox\nRUN echo old > /x\nCOPY a.txt /x\n",
        Prints("cat /x", "a.txt"),
    ),
    (
        "COPY through a link of the image",
        "FROM busybox\nRUN mkdir /real && ln -s /real /via\nCOPY a.txt /via/\n",
        Prints("ls /real; test -L /via && echo link", "a.txt\nlink"),
    ),
    (
        "COPY merges directories",
        "FROM busybox\nRUN mkdir -p /d/sub && echo k > /d/sub/keep\nCOPY dir /d\n",
        Prints("ls /d/sub", "keep\ny"),
    ),
    (
        "COPY here-document",
        "FROM busybox\nENV v=1\nCOPY <<ONE <<\"TWO\" /d/\na$v\nONE\nb$v\nTWO\n",
        Prints("cat /d/ONE /d/TWO", "a1\nb$v"),
    ),
    (
        "ADD a file",
        "FROM busybox\nADD a.txt /x\n",
        Prints("cat /x", "a.txt"),
    ),
    (
        "ADD unpacks an archive",
        "FROM busybox\nADD t.tar.gz /d/\n",
        Prints("ls /d; cat /d/f", "f\nf"),
    ),
    (
        "COPY does not unpack",
        "FROM busybox\nCOPY t.tar.gz /d/\n",
        Prints("ls /d", "t.tar.gz"),
    ),
    (
        "RUN exec form",
        "FROM busybox\nRUN [\"touch\", \"/a b\"]\n",
        Prints("ls / | grep ' '", "a b"),
    ),
    (
        "RUN removes",
        "FROM busybox\nRUN echo x > /x\nRUN rm /x\n",
        Prints("ls /x 2>/dev/null; echo gone", "gone"),
    ),
    (
        "RUN keeps what it writes in a volume of the base",
        "FROM busybox AS b\nVOLUME /v\nFROM b\nRUN mkdir -p /v && echo x > /v/x\n",
        Prints("cat /v/x", "x"),
    ),
    (
        "RUN keeps owners and modes",
        "FROM busybox\nRUN touch /x && chown 3:4 /x && chmod 4750 /x\n",
        Prints("stat -c '%a %u:%g' /x", "4750 3:4"),
    ),
    (
        "RUN here-document",
        "FROM busybox\nRUN <<EOF\necho a > /v\necho b >> /v\nEOF\n",
        Prints("cat /v", "a\nb"),
    ),
    (
        "RUN here-document for a program",
        "FROM busybox\nRUN cat <<EOF > /v\nhi\nEOF\n",
        Prints("cat /v", "hi"),
    ),
    (
        "RUN here-document with an interpreter",
        "FROM busybox\nRUN <<EOF\n#!/bin/sh\necho \"$0\" > /v\nEOF\n",
        Prints("cat /v", "/dev/pipes/EOF"),
    ),
    (
        "RUN --network=none",
        "FROM busybox\nRUN --network=none ls /sys/class/net > /v\n",
        Prints("cat /v", "lo"),
    ),
    (
        "RUN --mount of a stage",
        "FROM busybox AS o\nRUN echo m > /m\nFROM busybox\nRUN --mount=from=o,source=/m,target=/mm cat /mm > /v\n",
        Prints("cat /v; ls /mm 2>/dev/null; echo end", "m\nend"),
    ),
    (
        "RUN --mount of the context",
        "FROM busybox\nRUN --mount=target=/c cat /c/a.txt > /v\n",
        Prints("cat /v; ls -d /c 2>/dev/null; echo end", "a.txt\nend"),
    ),
    (
        "RUN --mount is read-only",
        "FROM busybox\nRUN --mount=target=/c touch /c/x || echo no > /v\n",
        Prints("cat /v", "no"),
    ),
    (
        "RUN --mount rw is thrown away",
        "FROM busybox\nRUN --mount=target=/c,rw touch /c/x && ls /c/x > /v\nRUN --mount=target=/c ls /c/x || echo gone >> /v\n",
        Prints("cat /v", "/c/x\ngone"),
    ),
    (
        "RUN --mount cache lasts",
        "FROM busybox\nRUN --mount=type=cache,target=/k echo k > /k/f\nRUN --mount=type=cache,target=/k cat /k/f > /v\n",
        Prints("cat /v; ls -d /k 2>/dev/null; echo end", "k\nend"),
    ),
    (
        "RUN --mount tmpfs",
        "FROM busybox\nRUN --mount=type=tmpfs,target=/t grep -c ' /t tmpfs' /proc/mounts > /v\n",
        Prints("cat /v", "1"),
    ),
];

const LATER: &[Case] = &[
    (
        "COPY --link to a link of the image makes a directory",
        "FROM busybox\nRUN mkdir /real && ln -s /real /way\nCOPY --link a.txt /way/\n",
        Prints("ls /real; cat /way/a.txt", "a.txt"),
    ),
    (
        "COPY --link gives directories their defaults",
        "FROM busybox\nRUN mkdir /d && chmod 700 /d && chown 7:7 /d\nCOPY --link a.txt /d/\n",
        Prints("stat -c '%a %u:%g' /d", "755 0:0"),
    ),
    (
        "COPY without --link keeps what a directory has",
        "FROM busybox\nRUN mkdir /d && chmod 700 /d && chown 7:7 /d\nCOPY a.txt /d/\n",
        Prints("stat -c '%a %u:%g' /d", "700 7:7"),
    ),
    (
        "ADD --unpack=false leaves an archive as it is",
        "FROM busybox\nADD --unpack=false t.tar.gz /d/\n",
        Prints("ls /d", "t.tar.gz"),
    ),
    (
        "COPY never unpacks",
        "FROM busybox\nCOPY t.tar.gz /d/\n",
        Prints("ls /d", "t.tar.gz"),
    ),
    (
        "COPY takes a file that is called like a URL for a file",
        "FROM busybox\nCOPY <<http: /d/\nx\nhttp:\n",
        Prints("cat /d/http:", "x"),
    ),
    (
        "a numbered stage is found by its number",
        "FROM busybox\nRUN echo n > /n\nFROM busybox\nCOPY --from=0 /n /n\n",
        Prints("cat /n", "n"),
    ),
    (
        "the target's labels win over the base's",
        "FROM busybox AS b\nLABEL a=1\nFROM b\nLABEL a=2\n",
        Config("{{.Config.Labels.a}}", "2"),
    ),
    (
        "HEALTHCHECK NONE takes the base's away",
        "FROM busybox AS b\nHEALTHCHECK CMD true\nFROM b\nHEALTHCHECK NONE\n",
        Config("{{json .Config.Healthcheck.Test}}", "[\"NONE\"]"),
    ),
];

const REFUSED: &[Case] = &[
    (
        "a misspelt instruction",
        "FROM busybox\nRNU x\n",
        Fails("dockerfile parse error on line 2: unknown instruction: RNU (did you mean RUN?)"),
    ),
    (
        "nothing",
        "# only a comment\n",
        Fails("file with no instructions"),
    ),
    (
        "before FROM",
        "RUN x\n",
        Fails("no build stage in current context"),
    ),
    (
        "a base that is not here",
        "FROM nosuchimage:1\n",
        Fails("access to docker.io/library/nosuchimage is blocked"),
    ),
    ("a blank base", "ARG x\nFROM $x\n", Fails("should not be blank")),
    (
        "a missing file",
        "FROM busybox\nCOPY nothing /\n",
        Fails(
            "file not found in build context or excluded by .dockerignore: stat nothing: file does not exist",
        ),
    ),
    (
        "a path outside",
        "FROM busybox\nCOPY ../x /\n",
        Fails("forbidden path outside the build context: ../x ()"),
    ),
    (
        "a link out of the context",
        "FROM busybox\nCOPY evil /x\n",
        Fails("stat evil: file does not exist"),
    ),
    (
        "several sources to a file",
        "FROM busybox\nCOPY a.txt b.txt /x\n",
        Fails(
            "When using COPY with more than one source file, the destination must be a directory and end with a /",
        ),
    ),
    (
        "wildcards without a match",
        "FROM busybox\nCOPY *.zip /x/\n",
        Fails("no source files were specified"),
    ),
    (
        "a user that is not there",
        "FROM busybox\nCOPY --chown=nobody9 a.txt /\n",
        Fails("can't find uid for user nobody9"),
    ),
    (
        "a wrong mode",
        "FROM busybox\nCOPY --chmod=999 a.txt /\n",
        Fails("invalid chmod parameter: '999'"),
    ),
    (
        "a directory over a file",
        "FROM busybox\nCOPY dir /etc/passwd\n",
        Fails("cannot copy to non-directory: /etc/passwd"),
    ),
    (
        "an unknown stage",
        "FROM busybox\nCOPY --from=nosuch /a /b\n",
        Fails("invalid from flag value nosuch: "),
    ),
    (
        "a later stage",
        "FROM busybox AS first\nCOPY --from=later /a /b\nFROM busybox AS later\nFROM first\n",
        Fails("invalid from flag value later"),
    ),
    (
        "an unknown flag",
        "FROM busybox\nCOPY --chwon=1 a /\n",
        Fails("unknown flag: --chwon (did you mean chown?)"),
    ),
    (
        "a wrong port",
        "FROM busybox\nEXPOSE 99999\n",
        Fails("invalid containerPort: 99999"),
    ),
    (
        "a wrong signal",
        "FROM busybox\nSTOPSIGNAL SIGFOO\n",
        Fails("SIGFOO"),
    ),
    (
        "a required variable",
        "FROM busybox\nENV a=\"${b:?give b}\"\n",
        Fails("b: give b"),
    ),
    (
        "a secret that is required",
        "FROM busybox\nRUN --mount=type=secret,id=k,required true\n",
        Fails("secret k: not found"),
    ),
    (
        "a URL",
        "FROM busybox\nADD http://127.0.0.1:1/x /\n",
        Fails("connection refused"),
    ),
    (
        "a checksum of a file that is not fetched",
        "FROM busybox\nADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 a.txt /\n",
        Fails("checksum can't be specified for non-HTTP(S) sources"),
    ),
    (
        "a repository that would be an option",
        "FROM busybox\nADD https://127.0.0.1:1/a.git#--upload-pack=x /\n",
        Fails("invalid git URL"),
    ),
    (
        "a step with all privileges without leave",
        "FROM busybox\nRUN --security=insecure true\n",
        Fails("security.insecure is not allowed"),
    ),
    (
        "a program that is not there",
        "FROM busybox\nRUN [\"/nosuch\"]\n",
        Fails("/nosuch"),
    ),
];

/// The context of all cases.
pub(super) fn files() -> tempfile::TempDir {
    let folder = context();
    fs::write(folder.path().join("f"), "f\n").expect("file");
    let packed = std::process::Command::new("tar")
        .current_dir(folder.path())
        // The same bytes each time, so that what ADD makes of them must not be found for another way to add them.
        .args([
            "--mtime=@1",
            "--use-compress-program=gzip -n",
            "-cf",
            "t.tar.gz",
            "f",
        ])
        .status();
    assert!(packed.expect("tar").success());
    fs::remove_file(folder.path().join("f")).expect("file");
    folder
}

fn run(docker: &Client, cases: &[Case]) {
    let folder = files();
    let mut wrong = Vec::new();
    for (rule, text, expect) in cases {
        fs::write(folder.path().join("Dockerfile"), text).expect("file");
        let built = build(docker, folder.path(), &["--force-rm", "-t", "case"], None);
        let got = match expect {
            Fails(says) => {
                let fits = built.code != 0 && built.stderr.contains(says);
                if !fits {
                    wrong.push(format!("{rule}: {built:?}"));
                }
                continue;
            }
            _ if built.code != 0 => {
                wrong.push(format!("{rule}: {built:?}"));
                continue;
            }
            Config(format, _) => docker.ok(["image", "inspect", "--format", format, "case"]),
            Prints(line, _) => {
                docker
                    .run(["run", "--rm", "--entrypoint", "/bin/sh", "case", "-c", line])
                    .stdout
            }
            History(_) => docker.ok(["history", "--no-trunc", "--format", "{{.CreatedBy}}", "case"]),
        };
        let fits = match expect {
            Config(_, wanted) | Prints(_, wanted) => got.trim_end() == *wanted,
            History(wanted) => got.lines().next() == Some(wanted),
            Fails(_) => true,
        };
        if !fits {
            wrong.push(format!("{rule}: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}: {wrong:#?}", docker.name);
}

#[test]
fn every_rule_about_the_configuration_holds() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| run(docker, CONFIGURATION));
}

#[test]
fn every_rule_about_files_and_programs_holds() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        run(docker, FILES);
        run(docker, LATER);
    });
}

#[test]
fn what_must_be_refused_is_refused_with_a_reason() {
    // Docker Hub is not asked for the images that are not here.
    let settings = Settings {
        config: Some(serde_json::json!({"blocked-registries": ["docker.io"]})),
        ..Settings::default()
    };
    let Some(daemon) = daemon_with(settings) else {
        return;
    };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| run(docker, REFUSED));
}
