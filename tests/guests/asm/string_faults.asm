; REP MOVS and REP STOS that fault half-way: count and pointers are those of the iteration that
; faulted, and going on finishes the job; both directions, misaligned, source and destination.
; exit: 0
; serial:
;   at ecx 00000100 edi 00801000
;   at ecx 00000300 esi 00801000
;   at ecx 00000c00 edi 00801000
;   backwards ecx 00000201 edi 00801ffc
;   restarted 00000002 equal
;   misaligned ecx 00000100 edi 00800ffe
%include "guest.inc"

DATA equ VIRTUAL

main:
  call paging_on
  map DATA, SPARE | P | W
  ; 0x400 dwords into 0x300 dwords of room
  mov edi, DATA + 0x400
  mov ecx, 0x400
  call stores
  print "at ecx "
  mov eax, [saved_ecx]
  call print_hex
  print " edi "
  mov eax, [saved_edi]
  call print_hex
  say ""
  mov esi, DATA + 0xc00
  mov edi, SPARE + 0x8000
  mov ecx, 0x400
  hook 14, notes
  mov dword [skip_to], .source
  rep movsd
  fail "no fault"
.source:
  print "at ecx "
  mov eax, [saved_ecx]
  call print_hex
  print " esi "
  mov eax, [saved_esi]
  call print_hex
  say ""
  mov esi, SPARE + 0x8000
  mov edi, DATA + 0x3ff
  mov ecx, 0x1801
  mov dword [skip_to], .bytes
  map DATA + 0x1000, 0
  rep movsb
  fail "no fault"
.bytes:
  print "at ecx "
  mov eax, [saved_ecx]
  call print_hex
  print " edi "
  mov eax, [saved_edi]
  call print_hex
  say ""
  map DATA + 0x2000, (SPARE + 0x2000) | P | W
  mov edi, DATA + 0x2800 - 4
  mov ecx, 0x401
  mov dword [skip_to], .backwards
  std
  rep stosd
  cld
  fail "no fault"
.backwards:
  cld
  print "backwards ecx "
  mov eax, [saved_ecx]
  call print_hex
  print " edi "
  mov eax, [saved_edi]
  call print_hex
  say ""
  map DATA + 0x2000, 0
  invlpg [DATA + 0x2000]
  hook 14, demand
  mov edi, DATA + 0x10
  mov ecx, 0x2000 / 4
  mov eax, 0xabababab
  rep stosd
  mov edi, DATA + 0x10
  mov ecx, 0x2000 / 4
  repe scasd
  jne .wrong
  print "restarted "
  mov eax, [demanded]
  call print_hex
  say " equal"
  map DATA + 0x1000, 0
  invlpg [DATA + 0x1000]
  hook 14, notes
  mov edi, DATA + 0xffe - 0x400
  mov ecx, 0x200
  mov dword [skip_to], .misaligned
  rep stosd
  fail "no fault"
.misaligned:
  print "misaligned ecx "
  mov eax, [saved_ecx]
  call print_hex
  print " edi "
  mov eax, [saved_edi]
  call print_hex
  say ""
  ret
.wrong:
  fail "not equal"

stores:
  hook 14, notes
  mov dword [skip_to], .back
  rep stosd
  fail "no fault"
.back:
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
demand:
  inc dword [demanded]
  mov ecx, cr2
  and ecx, ~0xfff
  lea eax, [ecx - DATA + SPARE + P + W]
  shr ecx, 12
  mov [PAGE_TABLES + ecx * 4], eax
  ret
saved_ecx: dd 0
saved_esi: dd 0
saved_edi: dd 0
skip_to: dd 0
demanded: dd 0
