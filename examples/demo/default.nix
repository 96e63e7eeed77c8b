# A book of eight derivations and nine store paths; one path is the second output of the index. The builders use only
# shell built-ins, so the book builds on every Nix without fetching anything.
let
  make =
    attributes: script:
    derivation (
      attributes
      // {
        system = builtins.currentSystem;
        builder = "/bin/sh";
        args = [
          "-euc"
          ''
            copy() { while read -r line; do echo "$line"; done; }
            ${script}
          ''
        ];
      }
    );

  chapter =
    name: text:
    make {
      name = "chapter-${name}";
      inherit text;
    } ''echo "$text" >$out'';

  chapters = [
    (chapter "hook" "A build ends, and Nix calls the hook.")
    (chapter "queue" "The hook leaves a file, and is gone.")
    (chapter "uploader" "Signed and packed, the path goes to the cache.")
    (chapter "substituter" "Another machine asks, and need not build.")
  ];

  index =
    make
      {
        name = "index";
        outputs = [
          "out"
          "places"
        ];
        inherit chapters;
      }
      ''
        for chapter in $chapters; do echo "$chapter"; done >$places
        echo "Where everything is: $places" >$out
      '';

  cover = make { name = "cover"; } ''echo "The way of a store path" >$out'';

  preface = make {
    name = "preface";
    inherit cover;
  } ''echo "What $cover promises" >$out'';
in
make {
  name = "book";
  inherit cover preface index;
  inherit (index) places;
  inherit chapters;
} ''
  for part in $cover $preface $chapters $index; do
    echo "$part:"
    copy <$part
  done >$out
  copy <$places >>$out
''
