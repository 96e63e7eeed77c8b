"""Nix expressions that the tests build: they need /bin/sh and nothing else."""

SHELL = """
  sh = name: script: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-ec" script ];
  };
"""

# Nix's own post-hook scenario: a chain, and a derivation of two outputs of which one is asked for.
CHAIN = f"""
let {SHELL}
  zero = sh "zero" "echo zero > $out";
  one = sh "one" "echo ${{zero}} > $out";
  two = sh "two" "echo ${{one}} ${{zero}} > $out";
  # only the build refers to it
  tool = sh "tool" "echo tool > $out";
  top = sh "top" "echo ${{builtins.substring 0 0 tool.outPath}} ${{two}} > $out";
  multiple = derivation {{
    name = "multiple";
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-ec" "echo first > $first; echo second $first > $second" ];
    outputs = [ "first" "second" ];
  }};
in {{ inherit zero one two tool top; inherit (multiple) first second; }}
"""
CHAIN_ATTRIBUTES = ("zero", "one", "two", "tool", "top", "first", "second")

FAILING = f"""
let {SHELL}
  good = sh "good" "echo good > $out";
  better = sh "better" "echo ${{good}} > $out";
in sh "bad" "echo ${{better}} > $out; exit 1"
"""


def leaf(name: str) -> str:
    """One derivation without dependencies."""
    return f'let {SHELL} in sh "{name}" "echo {name} > $out"'


def using(*paths: str) -> str:
    """A derivation that refers to paths of the store and to a source."""
    named = " ".join(f'"{path}"' for path in paths)
    return f"""
let {SHELL} given = map builtins.storePath [ {named} ]; source = builtins.toFile "source" "text";
in sh "using" "echo ${{toString given}} ${{source}} > $out"
"""


def doubled(name: str, times: int) -> str:
    """One derivation of ten digits, doubled so many times: 20 make 10 MB."""
    return f"""
let {SHELL} in sh "{name}" "s=0123456789; i=0; while [ $i -lt {times} ]; do s=$s$s; i=$((i+1)); done;
  echo $s > $out"
"""


BIG = doubled("big", 20)
LARGE = doubled("large", 21)  # more than 16 MB, which several threads compress


def independent(count: int, prefix: str = "leaf") -> str:
    """A list of derivations without dependencies."""
    return f'let {SHELL} in builtins.genList (n: sh "{prefix}-${{toString n}}" "echo ${{toString n}} > $out") {count}'


def sized(count: int) -> str:
    """A list of derivations of 0.3 MB each, which differ in all of it."""
    return f"""
let {SHELL} in builtins.genList (n: sh "sized-${{toString n}}" "s=${{toString (n + 100000000)}}; i=0;
  while [ $i -lt 15 ]; do s=$s$s; i=$((i+1)); done; echo $s > $out") {count}
"""


def linked(count: int, times: int) -> str:
    """A list of derivations of `times` 147 kB each, which differ in all of it. Each but the first ten refers to one."""
    return f"""
let {SHELL}
  all = builtins.genList (n: sh "linked-${{toString n}}" "s=${{toString (n + 100000000)}}; i=0;
    while [ $i -lt 14 ]; do s=$s$s; i=$((i+1)); done; i=0;
    {{ echo ${{if n < 10 then "" else builtins.elemAt all (n - 10)}};
      while [ $i -lt {times} ]; do echo $s; i=$((i+1)); done; }} > $out") {count};
in all
"""


def noise(size: int) -> str:
    """A derivation of so many random bytes, other ones each time. It needs the machine's programs, and no sandbox."""
    return f'let {SHELL} in sh "noise" "/usr/bin/head -c {size} /dev/urandom > $out"'


def layered(layers: int, width: int) -> str:
    """`layers` of `width` derivations, each referring to two of the layer below."""
    return f"""
let {SHELL}
  layer = n: if n == 0 then [ ] else let below = layer (n - 1); in builtins.genList (i:
    let refs = if below == [ ] then "" else
      "${{builtins.elemAt below i}} ${{builtins.elemAt below (if i == 0 then {width - 1} else i - 1)}}";
    name = "n${{toString n}}-${{toString i}}";
    in sh name "echo ${{name}} ${{refs}} > $out") {width};
in layer {layers}
"""


def chain(length: int) -> str:
    """The last of a chain of derivations, each referring to the one before."""
    return f"""
let {SHELL}
  link = n: sh "link-${{toString n}}" (if n == 0 then "echo > $out" else "echo ${{link (n - 1)}} > $out");
in link ({length} - 1)
"""


def sleeping(count: int, prefix: str) -> str:
    """Independent derivations that wait half a second each; `read` waits where the sandbox has no `sleep`."""
    return f"""
let {SHELL} in builtins.genList (n: sh "{prefix}-${{toString n}}"
  "exec 3<>/dev/ptmx; read -t 0.5 line <&3 || true; echo ${{toString n}} > $out") {count}
"""
