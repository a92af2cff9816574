; COM1's interrupts come with OUT2 clear, as they do on the clones of the PC: for a byte received (in
; the loop of the port with itself, whose OUT2 is never connected) and for the transmitter.
; exit: 0
; serial:
;   received 5a
;   empty 02
;   none 01
%include "guest.inc"

COM equ 0x3f8

main:
  hook 0x24, on_serial
  mov al, 0xef                    ; line 4 alone
  out 0x21, al
  mov dx, COM + 4
  mov al, 0x10                    ; loop; DTR, RTS, OUT1 and OUT2 clear
  out dx, al
  mov dx, COM + 1
  mov al, 1                       ; received data
  out dx, al
  mov dx, COM
  mov al, 0x5a
  out dx, al
  call wait_for_interrupt
  mov dx, COM + 4
  xor al, al
  out dx, al
  print "received "
  mov al, [seen_data]
  call print_byte
  say ""
  mov dx, COM + 1
  mov al, 2                       ; transmitter empty, as it is
  out dx, al
  call wait_for_interrupt
  mov dx, COM + 1
  xor al, al
  out dx, al
  print "empty "
  mov al, [seen_identity]
  call print_byte
  say ""
  mov dx, COM + 2
  in al, dx
  push eax
  print "none "
  pop eax
  call print_byte
  say ""
  finish 0

wait_for_interrupt:
  sti
  hlt
  cli
  ret

on_serial:
  mov dx, COM + 2
  in al, dx
  mov [seen_identity], al
  cmp al, 4
  jne .done
  mov dx, COM
  in al, dx
  mov [seen_data], al
.done:
  mov al, 0x20
  out 0x20, al
  ret

seen_identity: db 0
seen_data: db 0
