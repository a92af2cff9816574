; One REP MOVSD and one REP STOSD of ring 0 that have become soft by the pages of a user: within a
; page and across many, backwards, into a page that is not there, over code, and to video memory.
; exit: 0
; serial:
;   ranges 00000008 equal
;   fault ecx 00000101 esi 00810fc0 edi 00822000
;   fault ecx 00000080 edi 00822000
;   code 00001f40
;   screen 12345678
%include "guest.inc"

SOURCE      equ VIRTUAL + 0x10000 ; four pages of the user's
DESTINATION equ VIRTUAL + 0x20000 ; four of the supervisor's; the third goes
OTHER       equ SPARE + 0x30000   ; what a loop makes of the same
SCREEN      equ 0xb8000
PAGES       equ 4

main:
  call paging_on
%assign page 0
%rep PAGES
  map SOURCE + page * 0x1000, (SPARE + 0x10000 + page * 0x1000) | P | W | U
  map DESTINATION + page * 0x1000, (SPARE + 0x20000 + page * 0x1000) | P | W
%assign page page + 1
%endrep
  call flush_tlb
  mov ebx, 4
.soften:
  call reset
  mov edi, SOURCE + 0x200
  mov esi, DESTINATION
  mov ecx, 64
  call copy
  mov edi, SOURCE + 0x400
  mov ecx, 64
  call fill
  dec ebx
  jnz .soften

  mov ebx, ranges
.range:
  call reset
  mov esi, [ebx]
  mov edi, [ebx + 4]
  mov ecx, [ebx + 8]
  mov edx, [ebx + 12]
  push edx
  popfd
  call copy
  push esi
  push edi
  push ecx
  mov esi, [ebx]
  mov edi, [ebx + 4]
  add edi, OTHER - DESTINATION
  mov ecx, [ebx + 8]
  jecxz .none
.dword:
  mov eax, [esi]
  mov [edi], eax
  lea esi, [esi + 4]
  lea edi, [edi + 4]
  test edx, 0x400
  jz .up
  lea esi, [esi - 8]
  lea edi, [edi - 8]
.up:
  loop .dword
.none:
  cld
  pop ecx
  check_equal ecx, 0, "ecx"
  pop ecx
  sub edi, OTHER - DESTINATION
  check_equal ecx, edi, "edi"
  pop ecx
  check_equal ecx, esi, "esi"
  mov esi, DESTINATION
  mov edi, OTHER
  mov ecx, PAGES * 0x400
.compare:
  mov eax, [esi]
  check_equal eax, [edi], "a byte"
  add esi, 4
  add edi, 4
  loop .compare
  inc dword [passed]
  add ebx, 16
  cmp ebx, ranges.end
  jne .range
  print "ranges "
  mov eax, [passed]
  call print_hex
  say " equal"

  map DESTINATION + 0x2000, 0
  call flush_tlb
  hook 14, notes
  mov esi, SOURCE
  mov edi, DESTINATION + 0x1040
  mov ecx, 0x4f1
  mov dword [skip_to], .movs
  call copy
  fail "no fault"
.movs:
  add esp, 4                      ; of the call
  print "fault ecx "
  mov eax, [saved_ecx]
  call print_hex
  print " esi "
  mov eax, [saved_esi]
  call print_hex
  print " edi "
  mov eax, [saved_edi]
  call print_hex
  say ""
  mov edi, DESTINATION + 0x1e00
  mov ecx, 0x100
  mov dword [skip_to], .stos
  call fill
  fail "no fault"
.stos:
  add esp, 4
  print "fault ecx "
  mov eax, [saved_ecx]
  call print_hex
  print " edi "
  mov eax, [saved_edi]
  call print_hex
  say ""

  xor ebx, ebx
  mov dword [SOURCE], 0x000000b8    ; mov eax, NUMBER; ret
  mov dword [SOURCE + 4], 0x0000c300
  xor edx, edx
.code:
  mov [SOURCE + 1], dl
  mov esi, SOURCE
  mov edi, DESTINATION + 0x100
  mov ecx, 2
  call copy
  mov eax, DESTINATION + 0x100
  call eax
  add ebx, eax
  inc edx
  cmp edx, 128
  jne .code
  print "code "
  mov eax, ebx
  sub eax, 128 * 127 / 2 - 8000
  call print_hex
  say ""

  mov dword [SOURCE], 0x12345678
  mov esi, SOURCE
  mov edi, SCREEN
  mov ecx, 1
  call copy
  mov esi, SCREEN
  mov edi, DESTINATION
  mov ecx, 1
  call copy
  print "screen "
  mov eax, [DESTINATION]
  call print_hex
  say ""
  ret

copy:
  rep movsd
  ret
fill:
  rep stosd
  ret

reset:                            ; a pattern in all pages
  pushad
  mov esi, SOURCE
  mov edi, DESTINATION
  mov edx, OTHER
  mov ecx, PAGES * 0x400
.next:
  mov eax, ecx
  imul eax, eax, 0x01010193
  mov [esi], eax
  mov dword [edi], 0x5a5a5a5a
  mov dword [edx], 0x5a5a5a5a
  add esi, 4
  add edi, 4
  add edx, 4
  loop .next
  popad
  ret

notes:
  mov eax, [ebp + frame.ecx]
  mov [saved_ecx], eax
  mov eax, [ebp + frame.esi]
  mov [saved_esi], eax
  mov eax, [ebp + frame.edi]
  mov [saved_edi], eax
  mov eax, [skip_to]
  mov [ebp + frame.eip], eax
  ret

align 4
ranges:                           ; from, to, count, flags
  dd SOURCE + 0x10, DESTINATION + 0x20, 0, 2
  dd SOURCE + 0x10, DESTINATION + 0x20, 1, 2
  dd SOURCE + 0x10, DESTINATION + 0x20, 0x300, 2
  dd SOURCE + 0x123, DESTINATION + 0xf01, 0x9ff, 2
  dd SOURCE + 0xf02, DESTINATION + 0x7, 0xc00, 0x8d7
  dd SOURCE, DESTINATION, 0x1000, 2
  dd SOURCE + 0x2ffc, DESTINATION + 0x3804, 0x900, 0x402
  dd SOURCE + 0x1004, DESTINATION + 0x1ffd, 0x400, 0x402
.end:
saved_ecx: dd 0
saved_esi: dd 0
saved_edi: dd 0
skip_to: dd 0
passed: dd 0
