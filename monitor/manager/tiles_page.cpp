#include <string>
#include <string_view>

#include "monitor/manager/tiles.h"

namespace ringshift::manager {
namespace {

constexpr std::string_view kPage = R"page(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ringshift: machines</title>
<style nonce="@NONCE@">
:root { color-scheme: light dark; --line: #8886; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; font: 16px/1.4 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0 0 .6rem; }
#note { min-height: 1.4em; margin: 0 0 .6rem; opacity: .75; }
#tiles { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); }
.tile { display: flex; flex-direction: column; padding: 0; border: 1px solid var(--line);
  border-radius: .5rem; overflow: hidden; background: none; color: inherit; font: inherit;
  text-align: left; cursor: pointer; }
.tile.large { grid-column: 1 / -1; }
.tile:focus-visible { outline: 3px solid #48f; outline-offset: 2px; }
.screen { width: 100%; aspect-ratio: 4 / 3; background: #000; object-fit: contain; display: block; }
.large .screen { aspect-ratio: auto; max-height: 80vh; }
.words { padding: .4rem .7rem; display: flex; gap: .8rem; flex-wrap: wrap; }
.words b { flex: 1; overflow-wrap: anywhere; }
.ended .screen { opacity: .45; }
</style>
<h1>Machines</h1>
<p id="note" role="status">asks the manager</p>
<div id="tiles"></div>
<script nonce="@NONCE@">
'use strict';
const token = new URLSearchParams(location.search).get('token') || '';
const tiles = new Map();
const ask = (path) => path + '?token=' + encodeURIComponent(token);
let turn = 0;

function tileOf(name) {
  if (tiles.has(name)) return tiles.get(name);
  const tile = document.createElement('button');
  tile.type = 'button';
  tile.className = 'tile';
  tile.setAttribute('aria-pressed', 'false');
  const screen = document.createElement('img');
  screen.className = 'screen';
  screen.alt = 'the screen of ' + name;
  const words = document.createElement('span');
  words.className = 'words';
  const title = document.createElement('b');
  title.textContent = name;
  const state = document.createElement('span');
  words.append(title, state);
  tile.append(screen, words);
  tile.addEventListener('click', () => {
    tile.setAttribute('aria-pressed', tile.classList.toggle('large') ? 'true' : 'false');
  });
  const made = {tile, screen, state};
  tiles.set(name, made);
  return made;
}

function show(machines) {
  const names = machines.map((machine) => machine.name);
  for (const name of [...tiles.keys()]) {
    if (names.includes(name)) continue;
    tiles.get(name).tile.remove();
    tiles.delete(name);
  }
  for (const machine of machines) {
    const {tile, screen, state} = tileOf(machine.name);
    state.textContent = machine.end === '' ? machine.state : machine.end;
    tile.classList.toggle('ended', machine.end !== '');
    if (machine.picture) {
      const next = new Image();
      next.onload = () => { screen.src = next.src; };
      next.src = ask('/screen/' + encodeURIComponent(machine.name)) + '&turn=' + turn;
    }
    document.getElementById('tiles').append(tile);
  }
}

async function look() {
  const note = document.getElementById('note');
  ++turn;
  try {
    const answer = await fetch(ask('/machines'));
    if (!answer.ok) throw new Error('the server says ' + answer.status);
    const machines = await answer.json();
    show(machines);
    note.textContent = machines.length === 1 ? 'one machine' : machines.length + ' machines';
  } catch (problem) {
    note.textContent = 'no answer: ' + problem.message;
  }
  setTimeout(look, document.hidden ? 5000 : 1500);
}
look();
</script>
</html>
)page";

}  // namespace

std::string tiles_page(const std::string& nonce) {
  constexpr std::string_view kPlace = "@NONCE@";
  std::string page(kPage);
  for (size_t at = page.find(kPlace); at != std::string::npos; at = page.find(kPlace, at)) {
    page.replace(at, kPlace.size(), nonce);
  }
  return page;
}

}  // namespace ringshift::manager
