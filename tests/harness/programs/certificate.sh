#!/bin/sh
# certificate.sh DIRECTORY HOST: a private authority, and a certificate of it for that host.
mkdir -p "$1"
cd "$1" || exit
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=private 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request -subj "/CN=$2" 2>/dev/null
printf 'subjectAltName=DNS:%s,IP:127.0.0.1' "$2" >names
openssl x509 -req -in request -CA ca.pem -CAkey ca.key -out cert.pem -days 2 -extfile names 2>/dev/null
